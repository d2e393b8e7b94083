"""Language models: a tokenizer, a decoder from scratch, masked pre-training, and checkpoints of others."""
