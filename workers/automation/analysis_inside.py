"""Analyses the code in the working folder, inside the sandbox: lizard for size, complexity and duplication, ruff for
lint. It is handed in as one file and imports nothing of this project; lizard comes as a zip archive.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

TYPE_CHECKING = False  # importing typing would cost more than all the rest
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_SKIPPED = {".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", "vendor", "third_party"}
_LEAST_TOKENS = 40
"""A block this long counts as duplicated."""
_MOST_EQUAL = 8
_LARGEST = 2 * 1024 * 1024


def main() -> None:
    """Read what is wanted, write what was found."""
    with open("/run/input.json", encoding="utf-8") as file:
        wanted = json.load(file)
    os.chdir("/work")
    paths = sorted(source_files())
    found: dict[str, Any] = {"files": len(paths)}
    analyses = wanted["analyses"]
    if {"size", "complexity", "duplication"} & set(analyses):
        found.update(measured(paths, wanted))
    if "lint" in analyses:
        found["lint"] = linted(wanted)
    with open(os.environ["RESULT_FILE"], "w", encoding="utf-8") as file:
        json.dump(storable({name: value for name, value in found.items() if name == "files" or name in analyses}), file)


def storable(value: Any) -> Any:
    """The same, with U+FFFD for what names of files and functions may hold and JSON in a database may not."""
    if isinstance(value, str):
        return re.sub("[\0\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, dict):
        return {storable(name): storable(item) for name, item in value.items()}
    return [storable(item) for item in value] if isinstance(value, list) else value


def source_files() -> Iterator[str]:
    """The files to look at, relative to the working folder."""
    for root, folders, names in os.walk("."):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        for name in names:
            path = os.path.relpath(os.path.join(root, name), ".")
            if not path.startswith(".result") and os.path.isfile(path) and not os.path.islink(path):
                yield path


def measured(paths: list[str], wanted: dict[str, Any]) -> dict[str, Any]:
    """Size, complexity and duplication, from one reading of the files."""
    sys.path.insert(0, "/run/lizard.zip")
    import lizard

    # As a name of a language lizard knows: others have no functions to find.
    known = [path for path in paths if lizard.get_reader_for(path) and os.path.getsize(path) <= _LARGEST]
    infos, functions = [], []
    for info in lizard.analyze_files(known, threads=1):
        infos.append(info)
        for item in info.function_list:
            functions.append(
                {
                    "name": item.long_name if len(item.long_name) <= 200 else item.name[:200],
                    "file": info.filename,
                    "line": item.start_line,
                    "complexity": item.cyclomatic_complexity,
                    "lines": item.nloc,
                    "parameters": item.parameter_count,
                }
            )
    return {
        "size": sized(paths, infos, lizard),
        "complexity": judged(functions, wanted),
        "duplication": doubled(known, lizard, wanted) if "duplication" in wanted["analyses"] else None,
    }


def sized(paths: list[str], infos: list[Any], lizard: Any) -> dict[str, Any]:
    """Lines of all text files, and lines of code of those whose language is known, by language."""
    lines = size = 0
    for path in paths:
        size += os.path.getsize(path)
        lines += count_lines(path)
    languages: dict[str, dict[str, int]] = {}
    for info in infos:
        name = lizard.get_reader_for(info.filename).language_names[0]
        entry = languages.setdefault(name, {"files": 0, "code_lines": 0, "functions": 0})
        entry["files"] += 1
        entry["code_lines"] += info.nloc
        entry["functions"] += len(info.function_list)
    largest = sorted(infos, key=lambda info: (-info.nloc, info.filename))[:10]
    return {
        "bytes": size,
        "lines": lines,
        "code_lines": sum(entry["code_lines"] for entry in languages.values()),
        "languages": languages,
        "largest": [{"file": info.filename, "code_lines": info.nloc} for info in largest],
    }


def count_lines(path: str) -> int:
    """Lines of a text file; 0 for a binary one."""
    with open(path, "rb") as file:
        data = file.read(_LARGEST)
    return 0 if b"\0" in data else data.count(b"\n") + (not data.endswith(b"\n") and bool(data))


def judged(functions: list[dict[str, Any]], wanted: dict[str, Any]) -> dict[str, Any]:
    """The complexity of the functions, the worst of them first."""
    functions.sort(key=lambda item: (-item["complexity"], item["file"], item["line"]))
    values = [item["complexity"] for item in functions]
    threshold = wanted["threshold"]
    return {
        "functions": len(values),
        "average": round(sum(values) / len(values), 2) if values else 0,
        "highest": max(values, default=0),
        "threshold": threshold,
        "above_threshold": sum(value > threshold for value in values),
        "worst": functions[: wanted["most"]],
    }


def doubled(paths: list[str], lizard: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    """What stands in the code more than once: the same run of tokens, whatever stands around it.

    Lizard reads the tokens; its own search for duplicates misses code that was pasted below other imports.
    """
    tokens: list[str] = []
    places: list[tuple[int, int]] = []
    ends: list[int] = []
    for number, path in enumerate(paths):
        for token, line in tokens_of(path, lizard):
            tokens.append(token)
            places.append((number, line))
        ends += [len(tokens)] * (len(tokens) - len(ends))
    blocks, covered = repeated(tokens, ends)
    shown: list[dict[str, Any]] = []
    for starts, length in blocks:
        found, lines = [], 0
        for start in starts[:20]:
            number, line = places[start]
            last = places[start + length - 1][1]
            found.append({"file": paths[number], "line": line, "end_line": last})
            lines = max(lines, last - line + 1)
        shown.append({"lines": lines, "places": found})
    shown.sort(key=lambda block: (-block["lines"], block["places"][0]["file"], block["places"][0]["line"]))
    percent = 100 * sum(covered) / len(tokens) if tokens else 0
    return {"percent": round(percent, 2), "blocks": len(shown), "largest": shown[: wanted["most"]]}


def tokens_of(path: str, lizard: Any) -> Iterator[tuple[str, int]]:
    """The tokens of a file, without comments, each with its line."""
    with open(path, encoding="utf-8", errors="replace") as file:
        source = file.read()
    line = 1
    for token in lizard.get_reader_for(path).generate_tokens(source):
        if not token.isspace() and not token.startswith(("#", "//", "/*")):
            yield token, line
        line += token.count("\n")


def repeated(tokens: list[str], ends: list[int]) -> tuple[list[tuple[list[int], int]], bytearray]:
    """Blocks as (where they start, how many tokens), and which tokens are in one.

    ``ends`` says for each token where its file ends: no block goes over that.
    """
    seen: dict[int, list[int]] = {}
    covered = bytearray(len(tokens))
    blocks: dict[int, tuple[list[int], int]] = {}
    place = 0
    while place + _LEAST_TOKENS <= len(tokens):
        window = tuple(tokens[place : place + _LEAST_TOKENS])
        earlier = seen.setdefault(hash(window), [])
        length = 0
        if place + _LEAST_TOKENS <= ends[place]:
            for start in earlier:
                length = max(length, matching(tokens, ends, start, place))
                if length >= _LEAST_TOKENS:
                    starts, longest = blocks.setdefault(start, ([start], length))
                    starts.append(place)
                    blocks[start] = (starts, min(longest, length))
                    covered[start : start + length] = covered[place : place + length] = b"\1" * length
                    break
            if length < _LEAST_TOKENS and len(earlier) < _MOST_EQUAL:
                earlier.append(place)
        place += length if length >= _LEAST_TOKENS else 1
    return list(blocks.values()), covered


def matching(tokens: list[str], ends: list[int], first: int, second: int) -> int:
    """How many tokens from both places on are the same, within their files and without meeting."""
    most = min(ends[first] - first, ends[second] - second, second - first)
    length = 0
    while length < most and tokens[first + length] == tokens[second + length]:
        length += 1
    return length


def linted(wanted: dict[str, Any]) -> dict[str, Any]:
    """What ruff finds in the Python files."""
    command = ["/run/ruff", "check", "--no-cache", "--output-format", "json", "--exit-zero", "--quiet"]
    if not wanted["project_rules"]:
        command += ["--isolated", "--select", ",".join(wanted["rules"])]
    done = subprocess.run([*command, "."], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stderr.decode(errors="replace")[-2000:])
        sys.exit(done.returncode)
    findings = json.loads(done.stdout or b"[]")
    rules: dict[str, int] = {}
    for item in findings:
        code = item["code"] or "syntax-error"
        rules[code] = rules.get(code, 0) + 1
    shown = [
        {
            "rule": item["code"] or "syntax-error",
            "message": item["message"][:500],
            "file": os.path.relpath(item["filename"], "/work"),
            "line": item["location"]["row"],
        }
        for item in findings[: wanted["most"]]
    ]
    by_count = dict(sorted(rules.items(), key=lambda pair: (-pair[1], pair[0])))
    return {"tool": "ruff", "languages": ["python"], "findings": len(findings), "rules": by_count, "shown": shown}


if __name__ == "__main__":
    main()
