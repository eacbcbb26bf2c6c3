"""Kernels compiled without a GPU, as they would be on one, and what may be asked of the result."""

from __future__ import annotations

import contextlib
import functools
import re
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

from cuda.core import Linker, LinkerOptions, ObjectCode
from numba.cuda import codegen, dispatcher

#: Data-centre GPUs of three generations: A100, H100 and H200, B200.
CAPABILITIES = ((8, 0), (9, 0), (10, 0))

#: Bytes of a number in a store's name, and of a store's width.
WIDTHS = {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16, "256": 32}

#: 1 as a float32 of PTX.
ONE = "0f3F800000"


class Statement(NamedTuple):
    """An instruction of PTX."""

    #: Its name with modifiers: `fma.rn.f32`. Registers are named like types, and not part of it.
    word: str
    #: Registers and literals, that of the result first.
    operands: tuple[str, ...] = ()


class Instruction(NamedTuple):
    """An instruction of the machine."""

    address: int
    #: Its name with modifiers, without a predicate: `FSETP.GT.AND`.
    name: str
    #: All of it, as it is printed.
    text: str
    #: Address of the instruction that a branch leads to, None if it is none.
    target: int | None = None

    @property
    def operation(self) -> str:
        """Its name without modifiers."""
        return self.name.partition(".")[0]


class Compiled(NamedTuple):
    """A kernel compiled for one GPU."""

    registers: int
    stack_bytes: int
    spill_bytes: int
    ptx: list[Statement]
    sass: list[Instruction]
    #: The code that would be loaded.
    binary: bytes

    @property
    def words(self) -> Counter[str]:
        """How often each word of PTX occurs."""
        return Counter(statement.word for statement in self.ptx)

    @property
    def inner_loop(self) -> list[Instruction]:
        """The shortest loop that writes to memory; all of a kernel that has none."""
        loops = []
        for instruction in self.sass:
            # One that leads to itself ends a function, and is never reached.
            if instruction.target is None or instruction.target >= instruction.address:
                continue
            body = [
                other
                for other in self.sass
                if instruction.target <= other.address <= instruction.address
            ]
            if any(other.operation == "STG" for other in body):
                loops.append(body)
        return min(loops, key=len) if loops else self.sass

    def scores_of_loop(self, itemsize: int) -> int:
        """Numbers of so many bytes that one pass through the inner loop stores."""
        stored = 0
        for instruction in self.inner_loop:
            if instruction.operation == "STG":
                parts = instruction.name.split(".")
                stored += next((WIDTHS[part] for part in parts if part in WIDTHS), 4)
        return stored // itemsize


@contextlib.contextmanager
def pretended(capability: tuple[int, int]) -> Iterator[None]:
    """Answer Numba's questions for the GPU at hand."""
    device = SimpleNamespace(compute_capability=capability)
    context = SimpleNamespace(device=device)
    devices = SimpleNamespace(get_context=lambda: context)
    with (
        mock.patch.object(dispatcher, "get_current_device", return_value=device),
        mock.patch.object(codegen, "devices", devices),
    ):
        yield


@functools.cache
def lowered(kernel: Any, signature: tuple[Any, ...], capability: tuple[int, int]) -> Any:
    """What Numba makes of a kernel for LLVM, with all that it calls."""
    dispatched = getattr(kernel, "dispatcher", kernel)
    with pretended(capability):
        made = dispatcher._Kernel(dispatched.py_func, signature, **dispatched.targetoptions)
    return made.library


@functools.cache
def compiled(kernel: Any, signature: tuple[Any, ...], capability: tuple[int, int]) -> Compiled:
    """Compile a kernel (a `CudaKernel` or what `cuda.jit` returns) as its launch would.

    The options are the launch's own, and so are the steps up to the linker: one function made of
    all that the kernel calls, kept as the compiler's intermediate code, and made machine code when
    linked. The linker is only asked to tell, besides, how many registers it used. What several
    calls launch is compiled once. What Numba makes for LLVM is the same for all of these GPUs
    (`test_compilation.py` compares it), and is made once, since it takes longer than the rest.
    """
    dispatched = getattr(kernel, "dispatcher", kernel)
    library = lowered(kernel, signature, CAPABILITIES[0])
    with pretended(capability):
        assert library._lto, "launches link intermediate code by default"
        assert not library._linking_files
        suffix = library._ensure_cc(None)
        ptx = library.get_lto_ptx()
        intermediate = library.get_ltoir()
    options = LinkerOptions(
        arch="sm_{}{}{}".format(*suffix),
        link_time_optimization=True,
        max_register_count=dispatched.targetoptions.get("max_registers"),
        ptxas_options=["-v"],
    )
    linker = Linker(ObjectCode.from_ltoir(intermediate), options=options)
    linked = linker.link("cubin")
    log = linker.get_info_log()
    linker.close()

    def largest(pattern: str) -> int:
        found = [int(number) for number in re.findall(pattern, log)]
        assert found, f"{pattern} is not in the linker's report: {log}"
        return max(found)

    return Compiled(
        largest(r"Used (\d+) registers"),
        largest(r"(\d+) bytes stack frame"),
        largest(r"(\d+) bytes spill stores") + largest(r"(\d+) bytes spill loads"),
        ptx_statements(ptx),
        sass_instructions(codegen.run_nvdisasm(linked, ["-c"])),
        bytes(linked.code),
    )


def ptx_statements(text: str) -> list[Statement]:
    """The instructions of PTX, those of inline assembly among them."""
    line_of_code = re.compile(
        r"\s*(?:@!?%p\d+\s+)?([a-z][a-z0-9_]*(?:\.[a-z0-9_:]+)*)(?=[\s;])([^;]*)"
    )
    lines = (line.partition("//")[0] for line in text.splitlines())
    return [
        Statement(found[1], tuple(re.findall(r"[%\w.$-]+", found[2])))
        for line in lines
        if (found := line_of_code.match(line))
    ]


def sass_instructions(text: str) -> list[Instruction]:
    """The instructions that the disassembler prints."""
    labels: dict[str, int] = {}
    waiting: list[str] = []
    found: list[tuple[int, str]] = []
    for line in text.splitlines():
        if label := re.match(r"(\.L_x_\d+):", line):
            waiting.append(label[1])
        elif instruction := re.match(r"\s+/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;", line):
            address = int(instruction[1], 16)
            labels.update(dict.fromkeys(waiting, address))
            waiting = []
            found.append((address, instruction[2]))
    instructions = []
    for address, line in found:
        name = re.sub(r"^@!?U?P\w+\s+", "", line).split()[0]
        target = re.search(r"\((\.L_x_\d+)\)", line) if name.startswith("BRA") else None
        instructions.append(Instruction(address, name, line, labels[target[1]] if target else None))
    assert instructions, "the disassembler printed no instruction"
    return instructions


# ---- what may be asked -------------------------------------------------------------------------


def assert_stays_in_registers(code: Compiled, registers: int, stack_bytes: int = 0) -> None:
    """Nothing spilled, no stack but what is known of, and no more registers than so many."""
    assert code.spill_bytes == 0, f"{code.spill_bytes} bytes spilled"
    assert code.stack_bytes <= stack_bytes, f"{code.stack_bytes} bytes of stack"
    local = {one.name for one in code.sass if one.operation in ("LDL", "STL")}
    assert stack_bytes or not local, f"local memory is used: {local}"
    assert code.registers <= registers, f"{code.registers} registers"


def assert_single_precision(code: Compiled) -> None:
    """No float64 anywhere."""
    words = {word for word in code.words if "f64" in word.split(".")}
    assert not words, f"float64 in PTX: {words}"
    names = {one.name for one in code.sass if _is_double(one)}
    assert not names, f"float64 in machine code: {names}"


def _is_double(instruction: Instruction) -> bool:
    modifiers = {"F64", "RCP64H", "RSQ64H"}
    doubles = ("DADD", "DMUL", "DFMA", "DSETP", "DMNMX")
    return instruction.operation in doubles or bool(modifiers & set(instruction.name.split(".")))


def assert_fast_division(code: Compiled) -> None:
    """No float32 divided by the compiler's own way, which calls a function for odd exponents."""
    words = {word for word in code.words if re.match(r"(div|rcp\.rn)\..*f32$", word)}
    assert not words, f"slow division in PTX: {words}"
    calls = [name for name in _called(code.sass) if re.search(r"(div|rcp)_rn?_\w*f32", name)]
    assert not calls, f"slow division in machine code: {calls}"


def _called(instructions: list[Instruction]) -> list[str]:
    """Names of the functions that are called; a call to a label is a jump."""
    found = (re.search(r"CALL\S*\s.*\((\$?_\w.*)\)", one.text) for one in instructions)
    return [call[1] for call in found if call]


def assert_no_calls_in_loop(code: Compiled) -> None:
    """The inner loop calls nothing."""
    calls = _called(code.inner_loop)
    assert not calls, f"calls in the inner loop: {calls}"


def assert_not_contracted(code: Compiled, *, single_only: bool = False) -> None:
    """No multiplication is fused with an addition, those of `refined_quotient` aside.

    With `single_only`, of float32: scores of float32 are exact beside a search that need not be.

    A multiplication that names its rounding stays as it is in machine code. There, the inner loop
    is held to as many fused ones for each score as PTX has.
    """
    assert_ptx_is_not_contracted(code, single_only=single_only)
    stores = [word for word in code.words.elements() if word.startswith("st.global")]
    scores = sum(4 if ".v4." in word else 1 for word in stores)
    if scores and code.inner_loop is not code.sass and code.words["div.rn.f64"] == 0:
        most = code.words["fma.rn.f32"] * code.scores_of_loop(4) / scores
        fused = sum(one.operation == "FFMA" for one in code.inner_loop)
        assert fused <= most, f"{fused} fused in machine code, where PTX has {most}"


def assert_ptx_is_not_contracted(code: Compiled, *, single_only: bool = False) -> None:
    """The same of what the compiler's first half makes: for kernels that store more than scores."""
    numbers = "32" if single_only else "32|64"
    free = {word for word in code.words if re.match(rf"mul(\.ftz)?\.f({numbers})$", word)}
    assert not free, f"multiplications that may be fused: {free}"
    doubles = code.words["fma.rn.f64"]
    assert single_only or not doubles, f"{doubles} of float64 fused"
    others = fused_outside_quotients(code.ptx)
    assert not others, f"fused outside of quotients: {others}"


def fused_outside_quotients(ptx: list[Statement]) -> list[Statement]:
    """Fused multiplications and additions that `primitives.refined_quotient` does not tell of."""
    fused = [one for one in ptx if one.word == "fma.rn.f32"]
    negated = {one.operands[0] for one in ptx if one.word == "neg.f32"}
    errors = {one.operands[0] for one in fused if one.operands[3] == ONE}
    better = {
        one.operands[0]
        for one in fused
        if one.operands[1] == one.operands[3] and one.operands[2] in errors
    }
    remainders = {
        one.operands[0] for one in fused if one.operands[1] in negated and one.operands[3] != ONE
    }
    quotients = [
        one for one in fused if one.operands[1] in remainders and one.operands[2] in better
    ]
    used = {one.operands[1] for one in quotients}
    known = errors | better | (remainders & used) | {one.operands[0] for one in quotients}
    return [one for one in fused if one.operands[0] not in known]


def assert_wide_access(code: Compiled, number: str = "f32", stored: str | None = None) -> None:
    """Boxes are loaded and scores, it may be of another type, are stored by 16 bytes or more."""
    for word, kind in (("ld", number), ("st", stored or number)):
        count = 128 // int(kind[1:])
        accepted = {f"{word}.global.v{wide}.{kind}" for wide in (count, 2 * count)}
        assert accepted & set(code.words), f"none of {accepted} in PTX"
    for operation in ("LDG", "STG"):
        names = {one.name for one in code.sass if one.operation == operation}
        wide = {name for name in names if {"128", "256"} & set(name.split("."))}
        assert wide, f"{operation} of 16 bytes is not among {names}"


def assert_columns_are_loaded_wide(code: Compiled) -> None:
    """The four corners of a thread's columns are, not one of them alone."""
    loads = sum(found for word, found in code.words.items() if word.startswith("ld.global.v"))
    assert loads >= 4, f"{loads} loads of 16 bytes, but boxes have four corners"


def assert_words_by_16_bytes(code: Compiled, ways: tuple[str, ...]) -> None:
    """Words of 32 bits go four at a time in each of these ways, as "ld.shared", and never alone."""
    for way in ways:
        found = {word for word in code.words if word.startswith(f"{way}.") and "u32" in word}
        assert found == {f"{way}.v4.u32"}, f"words of masks go by {sorted(found)}"


def assert_sees_other_blocks(code: Compiled) -> None:
    """What another block stores meanwhile is read from memory again, not from a cache."""
    assert any(word.startswith("ld.relaxed.gpu") for word in code.words), sorted(code.words)


def assert_counts_bits(code: Compiled) -> None:
    """Words are intersected and their bits counted by instructions made for it."""
    words = set(code.words)
    assert words & {"popc.b32", "popc.b64"}, "nothing counts bits in PTX"
    assert words & {"and.b32", "and.b64"}, "nothing intersects words in PTX"
    names = {one.operation for one in code.sass}
    assert {"POPC", "LOP3"} <= names, f"POPC or LOP3 is not among {sorted(names)}"


def instructions_per_score(code: Compiled, itemsize: int = 4) -> float:
    """Instructions of the inner loop for each score that it stores."""
    return len(code.inner_loop) / code.scores_of_loop(itemsize)


def assert_short_loop(code: Compiled, limit: float, itemsize: int = 4) -> None:
    """No more than so many instructions in the inner loop for each score."""
    length = instructions_per_score(code, itemsize)
    assert length <= limit, f"{length:.2f} instructions for each score"
