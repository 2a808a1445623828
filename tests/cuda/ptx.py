"""Gates the build `cuda-ptx`: a binary that an independent PTX executor, standing in for libcudart, can run.

python3 tests/cuda/ptx.py BINARY

It must need libcudart.so.13 and start (--version); its device code must be PTX text for sm_80 alone, uncompressed; the
kernels must use nothing that such an executor is not asked to know, and the host no more of the CUDA runtime than
plain calls. Prints what there is; exit status 1 if any of it doesn't hold.
"""

import re
import subprocess
import sys
from pathlib import Path

# What kernels may not use: wmma, bulk copies and tensor maps, clusters and grid-wide barriers, printf, device-side
# malloc, wgmma and its successors.
FORBIDDEN_PTX = re.compile(r"\b(wmma\.|wgmma\.|tcgen05\.|cp\.async\.bulk|cp\.reduce|tensormap|mbarrier|barrier\.cluster|"
                           r"mapa|griddepcontrol|ldmatrix|stmatrix|redux|vprintf|malloc|cudaCGSynchronize|"
                           r"cudaLaunchDevice)")
RUNTIME_CALLS = re.compile(r"^(__cuda(Register\w+|Unregister\w+|PushCallConfiguration|PopCallConfiguration|LaunchKernel|"
                           r"GetKernel|InitModule)|cuda(Malloc|Free|HostAlloc|MallocHost|FreeHost|Memcpy|MemcpyAsync|"
                           r"Memset|MemsetAsync|MemGetInfo|Stream(Create|CreateWithFlags|Destroy|Synchronize|Query|"
                           r"WaitEvent)|Event(Create|CreateWithFlags|Destroy|Record|Synchronize|Query|ElapsedTime)|"
                           r"LaunchKernel|Func(SetAttribute|GetAttributes)|GetDeviceCount|GetDeviceProperties|"
                           r"DeviceGetAttribute|SetDevice|GetDevice|DeviceSynchronize|GetLastError|PeekAtLastError|"
                           r"GetErrorName|GetErrorString|RuntimeGetVersion|DriverGetVersion))$")


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def device_code(binary):
    """The PTX texts in the fat binaries, and the kinds of the images that are none."""
    # Each starts with 16 bytes: magic, version, their own size, the size of what follows. Then, an image each: its kind
    # (1: PTX, 2: machine code), version, header's size, payload's size, and more that isn't needed here; the payload.
    image = Path(binary).read_bytes()
    texts, others, at = [], [], 0
    while (at := image.find(b"\x50\xed\x55\xba\x01\x00", at)) >= 0:
        end = at + 16 + int.from_bytes(image[at + 8:at + 16], "little")
        entry = at + int.from_bytes(image[at + 6:at + 8], "little")
        while entry < end:
            kind = int.from_bytes(image[entry:entry + 2], "little")
            header = int.from_bytes(image[entry + 4:entry + 8], "little")
            size = int.from_bytes(image[entry + 8:entry + 16], "little")
            payload = image[entry + header:entry + header + size]
            if kind == 1 and b".version" in payload[:400]:
                texts.append(payload.rstrip(b"\0").decode())
            else:
                others.append("compressed PTX" if kind == 1 else "machine code")
            entry += header + size
        at = end
    return texts, others


def check_ptx(text):
    """Violations of one PTX text."""
    found = [f"targets {target}" for target in re.findall(r"^\.target (.*?)\s*$", text, re.M) if target != "sm_80"]
    kernel = "(outside kernels)"
    for line in text.splitlines():
        if match := re.search(r"\.(?:entry|func)\b.*?(\w+)\(", line):
            kernel = match[1]
        if match := FORBIDDEN_PTX.search(line.split("//")[0]):
            found.append(f"{kernel} uses {match[1]}: {line.strip()}")
    return found


def main(binary):
    violations = []
    needed = re.findall(r"NEEDED.*\[(.*)\]", output("readelf", "-d", binary))
    if "libcudart.so.13" not in needed:
        violations.append(f"libcudart.so.13 is not among what it needs: {' '.join(needed)}")
    violations += [f"needs {library} at start" for library in needed if re.match(r"lib(cublas|cuda\.|nvrtc)", library)]

    texts, others = device_code(binary)
    entries = re.findall(r"\.entry\s+(\w+)", "\n".join(texts))
    if not entries:
        violations.append("no kernels in it as PTX text")
    violations += [f"an image is {other}" for other in others]
    violations += [violation for text in texts for violation in check_ptx(text)]

    symbols = re.findall(r" U (\w*[cC]uda\w*)@", output("nm", "-D", "--undefined-only", binary))
    calls = sorted(symbol for symbol in symbols if re.match(r"(__)?cuda[A-Z]", symbol))
    violations += [f"calls {call}, which is not among the plain runtime calls" for call in calls
                   if not RUNTIME_CALLS.match(call)]

    started = subprocess.run([binary, "--version"], capture_output=True, text=True)
    if started.returncode != 0:
        violations.append(f"does not start: {started.stderr.strip()}")

    print(f"{len(texts)} PTX texts, {len(entries)} kernels; needs {' '.join(needed)}\ncalls: {' '.join(calls)}")
    for violation in violations:
        print(f"{binary}: {violation}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
