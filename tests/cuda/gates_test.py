"""That the gates fail where they must: on a report of ptxas 13.0 (recorded.ptxas, of kernels written to have spills, a
stack and instances of a template), and on PTX made up for it."""

import tempfile
import unittest
from pathlib import Path

import on_gpu
import ptx
import resources

KERNELS = resources.our_kernels(resources.compiled(Path("recorded.ptxas").read_text()))
SUMS = [kernel for kernel in KERNELS if kernel.name.startswith("sum<")]
SUM = "// ptxas: sum: block 256, registers <= 40, shared <= 8224, occupancy >= 75 %"


def occupancy(requests):
    """What NVIDIA's calculator says of the recorded kernels, by registers alone."""
    return [(6, 0.75, "registers") if registers > 32 else (8, 1.0, "warps") for _, registers, _, _, _ in requests]


def violations(source, kernels=SUMS):
    return resources.check("k_cuda.cu", source, kernels, occupancy)[1]


class Resources(unittest.TestCase):
    def test_the_report_is_read(self):
        self.assertEqual([(k.name, k.architecture, k.registers, k.shared, k.stack, k.spills) for k in KERNELS],
                         [("sum<8>", 80, 40, 8224, 0, 0), ("sum<4>", 80, 32, 4112, 0, 0), ("stacked", 80, 32, 0, 64, 0),
                          ("spilling", 80, 32, 0, 240, 624), ("sum<8>", 90, 32, 8224, 0, 0),
                          ("sum<4>", 90, 32, 4112, 0, 0), ("stacked", 90, 32, 0, 64, 0),
                          ("spilling", 90, 32, 0, 264, 728)])

    def test_names_are_those_of_the_source(self):
        for signature, name in (("scale(float*, int)", "scale"), ("void a::b<int, c::d>::scale<8>(e<f>)", "scale<8>"),
                                ("void a::(anonymous namespace)::scale<(a::Kind)1>(float*)", "scale<(a::Kind)1>")):
            self.assertEqual(resources.unqualified(resources.qualified_name(signature)), name)

    def test_an_unsigned_argument_has_no_suffix(self):
        dense = resources.our_kernels([resources.Compiled("_Z5denseILj8ELb0ELm3EEvPf", 80)])
        self.assertEqual([kernel.name for kernel in dense], ["dense<8, false, 3>"])

    def test_what_holds_passes(self):
        rows, found = resources.check("k_cuda.cu", SUM, SUMS, occupancy)
        self.assertEqual(found, [])
        self.assertEqual(len(rows), 4)
        self.assertIn("75%", resources.table([("k_cuda.cu", *row) for row in rows]))

    def test_a_statement_may_go_on_in_a_second_line(self):
        self.assertEqual(violations(SUM.replace("occupancy >= ", "occupancy >=\n// ")), [])

    def test_an_instance_may_have_its_own_line(self):
        own = "// ptxas: sum<4>: block 256, registers <= 32, shared <= 4112, occupancy >= 100 %"
        self.assertEqual(violations(f"{SUM}\n{own}"), [])
        self.assertEqual(len(violations(f"{SUM}\n{own.replace('4112', '4111')}")), 2)

    def test_too_many_registers(self):
        self.assertEqual(violations(SUM.replace("40", "39")), ["k_cuda.cu:1: sum<8> on sm_80: 40 registers, 39 stated"])

    def test_too_much_shared_memory(self):
        self.assertEqual(len(violations(SUM.replace("8224", "8223"))), 2)

    def test_too_little_occupancy(self):
        self.assertEqual(violations(SUM.replace("75 %", "76 %")),
                         ["k_cuda.cu:1: sum<8> on sm_80: occupancy 75%, 76 % stated"])

    def test_a_stack_must_be_stated(self):
        stacked = [kernel for kernel in KERNELS if kernel.name == "stacked"]
        line = "// ptxas: stacked: block 32, registers <= 32, shared <= 0, stack 64, occupancy >= 50 %"
        self.assertEqual(violations(line, stacked), [])
        self.assertEqual(len(violations(line.replace(", stack 64", ""), stacked)), 2)

    def test_spills_are_never_allowed(self):
        spilling = [kernel for kernel in KERNELS if kernel.name == "spilling"]
        line = "// ptxas: spilling: block 1024, registers <= 255, shared <= 99999, stack 999, occupancy >= 0 %"
        self.assertEqual([v.split(": ")[-1] for v in violations(line, spilling)],
                         ["624 bytes of spills, 0 stated", "728 bytes of spills, 0 stated"])

    def test_a_kernel_without_a_line_and_a_line_without_a_kernel(self):
        self.assertEqual(len(violations("")), 4)
        self.assertEqual(violations(SUM + "\n" + SUM.replace("sum", "gone")),
                         ["k_cuda.cu:2: no kernel gone was compiled"])

    def test_a_line_that_cannot_be_read_or_is_there_twice(self):
        self.assertIn("k_cuda.cu:1: this line can't be read", violations(SUM.replace("<= 40", "< 40")))
        self.assertEqual(violations(SUM + "\n" + SUM), ["k_cuda.cu:2: sum is stated twice",
                                                         "k_cuda.cu:2: no kernel sum was compiled"])


PTX = """.version 9.0
.target sm_80
.visible .entry scale(.param .u64 x) {
  mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1}, {%r1}, {%r2}, {%f1};
  cp.async.cg.shared.global [%r1], [%rd1], 16;
}
"""


class Ptx(unittest.TestCase):
    def test_what_an_executor_knows_passes(self):
        self.assertEqual(ptx.check_ptx(PTX), [])

    def test_other_targets_and_instructions_do_not(self):
        self.assertEqual(ptx.check_ptx(PTX.replace("sm_80", "sm_90a")), ["targets sm_90a"])
        self.assertIn("scale uses wmma.", ptx.check_ptx(PTX.replace("mma.sync", "wmma.mma.sync"))[0])
        self.assertIn("scale uses cp.async.bulk",
                      ptx.check_ptx(PTX.replace("cp.async.cg", "cp.async.bulk.tensor"))[0])

    def test_calls(self):
        for call in ("cudaMemcpyAsync", "__cudaRegisterFatBinaryEnd", "cudaStreamWaitEvent"):
            self.assertTrue(ptx.RUNTIME_CALLS.match(call), call)
        for call in ("cudaLaunchCooperativeKernel", "cudaMallocAsync", "cudaGraphLaunch", "cudaDeviceReset"):
            self.assertFalse(ptx.RUNTIME_CALLS.match(call), call)

    def test_images_are_told_apart(self):
        def image(kind, payload):
            return (kind.to_bytes(2, "little") + b"\1\1" + (64).to_bytes(4, "little") +
                    len(payload).to_bytes(8, "little") + bytes(48) + payload)
        images = image(1, PTX.encode()) + image(2, b"\x7fELF") + image(1, b"\x28\xb5\x2f\xfd")
        fat = b"\x50\xed\x55\xba\x01\x00\x10\x00" + len(images).to_bytes(8, "little") + images
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"before" + fat + b"after")
            file.flush()
            self.assertEqual(ptx.device_code(file.name), ([PTX], ["machine code", "compressed PTX"]))


class OnGpu(unittest.TestCase):
    def run_with(self, script):
        with tempfile.TemporaryDirectory() as folder:
            devices, report, ran = (Path(folder) / name for name in ("devices", "report.xml", "ran"))
            devices.write_text(f"#!/bin/sh\n{script}\n")
            program = Path(folder) / "program"
            program.write_text(f"#!/bin/sh\ntouch {ran}\n")
            for file in (devices, program):
                file.chmod(0o755)
            status = on_gpu.main(str(devices), str(report), str(program))
            return status, ran.exists(), report.read_text() if report.exists() else ""

    def test_without_a_gpu_the_program_is_skipped_with_the_reason(self):
        status, ran, report = self.run_with("echo no driver; exit 77")
        self.assertEqual((status, ran), (77, False))
        self.assertIn("needs a GPU: no driver", report)

    def test_with_one_it_runs(self):
        self.assertEqual(self.run_with("echo A GPU")[:2], (0, True))

    def test_a_search_that_fails_is_a_failure(self):
        self.assertEqual(self.run_with("exit 3")[:2], (1, False))


if __name__ == "__main__":
    unittest.main()
