"""The same job by distilabel; runs in a venv that has no bapsim.

    VENV/bin/python benchmarks/synthesis_peer.py < JOB

JOB is JSON: address, prompts, flying, schema, most. The clock runs while its client of OpenAI-compatible
endpoints generates, in batches of as many as may be in flight; loading and pipelines are not counted.
"""

import json
import logging
import sys
import time
import warnings


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    job = json.load(sys.stdin)
    from distilabel.models import OpenAILLM

    form = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": job["schema"]}}
    more = {"response_format": form}  # its own argument takes no schema
    llm = OpenAILLM(model="tiny", base_url=job["address"], api_key="none", max_retries=0, timeout=60)
    llm.load()
    chats = [[{"role": "user", "content": prompt}] for prompt in job["prompts"]]
    good = 0
    start = time.perf_counter()
    for at in range(0, len(chats), job["flying"]):
        some = chats[at : at + job["flying"]]
        try:
            said = llm.generate_outputs(inputs=some, max_new_tokens=job["most"], extra_body=more)
        except Exception:  # noqa: BLE001  one answer that fails fails its batch
            continue
        for one in said:
            text = one["generations"][0]
            try:
                good += isinstance(json.loads(text or ""), dict)
            except ValueError:
                continue
    seconds = time.perf_counter() - start
    print(json.dumps({"peer_seconds": seconds, "peer_good": good}))


if __name__ == "__main__":
    main()
