"""The process of the local model: llama.cpp's own OpenAI server, on a free port of the loopback.

`python -m reynard.providers.local.server WEIGHTS ALIAS` reads the key it is to ask for as a line of standard input,
prints `{"url": …}` once it is ready, and ends when its standard input does: it never outlives the gateway.
"""

import json
import os
import sys
from typing import Final

CONTEXT_TOKENS: Final = 2048  # what SmolLM2-135M was trained for, for each of the slots
SLOTS: Final = 4
LONGEST_ANSWER: Final = 1024  # tokens, where the request sets no limit: so small a model may never come to an end
TEMPERATURE: Final = 0.0  # where the request sets none: so small a model rambles when it is warm,
REPEAT_PENALTY: Final = 1.1  # and goes in circles when it is not kept from it


def main() -> None:
    """Serves until standard input ends."""
    weights, alias = sys.argv[1:3]
    key = sys.stdin.readline().strip()
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = weights
    parameters.model_alias = {alias}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [key]
    parameters.n_ctx = CONTEXT_TOKENS * SLOTS
    parameters.n_parallel = SLOTS
    parameters.cpuparams.n_threads = max(1, min(8, (os.cpu_count() or 2) - 1))
    parameters.n_predict = LONGEST_ANSWER
    parameters.sampling.temp = TEMPERATURE
    parameters.sampling.penalty_repeat = REPEAT_PENALTY
    parameters.verbosity = 0
    server = xllamacpp.Server(parameters)
    print(json.dumps({"url": server.listening_address}), flush=True)
    sys.stdin.read()
    os._exit(0)  # llama.cpp's threads have nothing to save


if __name__ == "__main__":
    main()
