"""Run by pii.py with another interpreter: what presidio-analyzer finds in the sentences of a file, as JSON.

    PYTHON benchmarks/pii_presidio.py SENTENCES.json

PYTHON has presidio-analyzer 2.2.366 (`pip install presidio-analyzer==2.2.366` in a folder of its own). Its
form recognisers alone, without a language model and without cues; Korean regions for telephone numbers, which
is the best setting for Korean text. The public suffix list is the one in the package: nothing is fetched.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import tldextract
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    EmailRecognizer,
    IpRecognizer,
    KrFrnRecognizer,
    KrRrnRecognizer,
    PhoneRecognizer,
)

KINDS = {"EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "CREDIT_CARD": "card", "IP_ADDRESS": "ip"}
KINDS |= {"KR_RRN": "resident", "KR_FRN": "resident"}
THRESHOLD = 0.3  # of the research note that first measured it


def main():
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    recognizers = [
        EmailRecognizer(),
        PhoneRecognizer(supported_regions=("KR",)),
        CreditCardRecognizer(),
        IpRecognizer(),
        KrRrnRecognizer(),
        KrFrnRecognizer(),
    ]
    sentences = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    for one in recognizers:  # what is loaded at the first call is not counted
        one.analyze("010-1234-5678 a@b.com", one.supported_entities, None)
    start = time.process_time()
    found = []
    for text in sentences:
        hits = [h for r in recognizers for h in r.analyze(text, r.supported_entities, None)]
        found.append([[KINDS[h.entity_type], h.start, h.end] for h in hits if h.score >= THRESHOLD])
    cpu = time.process_time() - start
    print(json.dumps({"version": version("presidio-analyzer"), "cpu": cpu, "found": found}))


if __name__ == "__main__":
    main()
