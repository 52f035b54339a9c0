"""The line protocol between the runner and a Python peer. Owns stdin, stdout and memory figures; knows no framework.

serve: {"op":"prepare", ...case} -> {"type":"ready"}; {"op":"measure","units":n} -> {"type":"sample","seconds":[...]};
       {"op":"exit"}. A case the peer does not have answers {"type":"skip","reason":...}.
job:   one whole reference job from process start to saved checkpoint; {"type":"epoch",...} lines, then {"type":"done"}.
"""
import argparse
import json
import os
import sys
import traceback


class Skip(Exception):
    """The peer does not do this case; the message says why."""


# Libraries print to stdout too: keep the real one for the protocol and send the rest to stderr.
_protocol = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)


def send(**message):
    _protocol.write(json.dumps(message) + "\n")


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["serve", "job"])
    parser.add_argument("--data", required=True, help="image folder: class/name.ext")
    parser.add_argument("--weights", required=True, help="backbone .safetensors")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", default="cpu", help="cpu or cuda, where the peer knows it")
    parser.add_argument("--cache", required=True, help="a folder this peer may write to")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--measure-epochs", type=int, default=0, help="stop after so many; the runner extrapolates and says so")
    parser.add_argument("--out", help="checkpoint a job writes")
    return parser.parse_args()


def peak_memory_mib():
    """VmHWM of this process in MiB."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return None


def serve(versions, prepare):
    """prepare(request) warms a case up and returns measure(units) -> list of seconds, one a unit (or a dict of fields)."""
    send(type="hello", versions=versions)
    measure = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["op"] == "exit":
                break
            if request["op"] == "prepare":
                measure = prepare(request)
                send(type="ready", peakMiB=peak_memory_mib())
            elif request["op"] == "measure":
                result = measure(request["units"])
                fields = result if isinstance(result, dict) else {"seconds": result}
                send(type="sample", peakMiB=peak_memory_mib(), **fields)
        except Skip as reason:
            send(type="skip", reason=str(reason))
        except Exception as error:
            traceback.print_exc()
            send(type="skip", reason=f"{type(error).__name__}: {str(error)[:300]}")
