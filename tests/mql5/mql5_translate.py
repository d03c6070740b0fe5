"""MQL5 as our experts write it, made C++20 and compiled: the very same source runs against `terminal.h`.

Only what differs is changed: literals become MQL5 strings, dynamic arrays objects with checked bounds, inputs are
read from the scenario, includes are pasted in. Names of files and lines stay, so that a compiler's error points into
the `.mq5`. MetaEditor is stricter than g++ in places; `forbidden_in` names what g++ would let pass.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
EXPERTS = HERE.parent.parent / "mql5" / "experts"
COMPILER = shutil.which("g++")
_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
_INCLUDE = re.compile(r"^#include\s+(?:<(?P<system>[^>]+)>|\"(?P<own>[^\"]+)\")", re.MULTILINE)
_FUNCTION = re.compile(r"^(?!static|input|class|struct|enum)(\w+ \w+\([^;{}()]*\))\n  \{", re.MULTILINE)
_DYNAMIC = re.compile(r"\b(\w+)\s+(\w+)\[\];")
_PARAMETER = re.compile(r"\b(const\s+)?(\w+)\s*&\s*(\w+)\[\]")
_INPUT = re.compile(r"^s?input\s+(\w+)\s+(\w+)\s*=\s*([^;]+);", re.MULTILINE)
_WRONG = {
    r"\bauto\b": "auto",
    r"->": "a pointer's ->",
    r"\bstd::": "the standard library of C++",
    r"#import\b": "a DLL",
    r"\b(?:constexpr|nullptr|unsigned|size_t|lambda)\b": "a word of C++",
    r"^\s+(?:const )?\w+ &\w+ = ": "a local reference",
    r"\bCJAVal\b": "a JSON library",
}


def forbidden_in(source: str) -> list[str]:
    """What of a source MetaEditor would refuse although g++ takes it, or the project does without."""
    code = _TOKEN.sub(lambda match: "" if match[0][0] == "/" else '""', source)
    return [name for pattern, name in _WRONG.items() if re.search(pattern, code, re.MULTILINE)]


def translate(file: Path, driver: str) -> str:
    """The C++ of an `.mq5` with all it includes."""
    text = _pasted(file, set())
    # A function may be called above its definition there; ours that are stand in the .mq5 itself.
    above, start, rest = text.partition("\nint OnInit()\n")
    prototypes = "".join(f"{head};\n" for head in _FUNCTION.findall(start.lstrip() + rest))
    return f'#include "terminal.h"\n{above}\n{prototypes}{start}{rest}\n#include "{driver}"\n'


def build(file: Path, program: Path, driver: str = "driver.h") -> None:
    """Compile an expert with the driver. Raises CalledProcessError with the compiler's words."""
    assert COMPILER, "g++ is missing"
    source = program.with_suffix(".cpp")
    source.write_text(translate(file, driver), encoding="utf-8")
    # Conversions that lose something are warnings in MetaEditor and errors here; the header itself is not judged.
    strict = ["-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-Wno-unused-parameter"]
    command = [
        COMPILER,
        "-std=c++20",
        *strict,
        "-Wno-sign-conversion",
        "-isystem",
        str(HERE),
        "-o",
        str(program),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:6000]


def _pasted(file: Path, seen: set[Path]) -> str:
    """The translated text of a file with its own includes in place, each once."""
    if file in seen:
        return ""
    seen.add(file)
    out = [f'\n#line 1 "{file.name}"\n']
    text, number = file.read_text(encoding="utf-8"), 1
    for match in _INCLUDE.finditer(text):
        out.append(_translated(text[: match.start()].split("\n", number - 1)[-1]))
        number = text.count("\n", 0, match.start()) + 2
        if match["own"]:
            out.append(_pasted(_near(file, match["own"]), seen))
        else:
            assert match["system"] == "Trade\\Trade.mqh", match["system"]
            out.append('#include "trade.h"\n')
        out.append(f'\n#line {number} "{file.name}"\n')
    out.append(_translated(text.split("\n", number - 1)[-1]))
    return "".join(out)


def _near(file: Path, name: str) -> Path:
    """An include beside the file that names it, or among the experts."""
    beside = file.parent / name
    return beside if beside.is_file() else EXPERTS / name


def _translated(text: str) -> str:
    kept: list[str] = []

    def hide(match: re.Match[str]) -> str:
        token = match[0]
        if token.startswith(("//", "/*")):
            return "\n" * token.count("\n")
        kept.append(f"{token}_s" if token[0] == '"' else token)
        return f"\0{len(kept) - 1}\0"

    lines = ["" if line.startswith(("#property", "input group")) else line for line in text.split("\n")]
    text = _TOKEN.sub(hide, "\n".join(lines))
    text = _PARAMETER.sub(lambda m: f"{m[1] or ''}Array<{m[2]}> &{m[3]}", text)
    text = _DYNAMIC.sub(r"Array<\1> \2;", text)
    text = _INPUT.sub(r'static \1 \2 = scenario_input<\1>("\2", \3);', text)
    return re.sub("\0(\\d+)\0", lambda m: kept[int(m[1])], text)
