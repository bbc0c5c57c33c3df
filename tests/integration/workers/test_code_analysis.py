"""code_analysis: real tools over code from everywhere, and archives that should not be trusted."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from taskengine.domain.errors import HandlerError
from taskengine.domain.outcome import Succeeded
from tests.integration.workers.context import HandlerContext
from tests.integration.workers.peers import Peer
from workers.automation import code_source
from workers.automation.code_analysis import CodeAnalysis, CodeAnalysisConfig, CodeAnalysisOutput
from workers.automation.code_source import archive_address

Run = Callable[..., CodeAnalysisOutput]

LOOP = "def count(a, b):\n    total = 0\n    for x in a:\n        if x > b and x != 7:\n            total += x * 2\n"
LOOP += "        elif x == 3:\n            total -= b\n        print(x, total)\n    return total\n\n"
LONG = LOOP + LOOP.replace("count", "count_again").replace("x * 2", "x * a.get(x) + b // 4 - total % 3")
FILES = {
    "shop/one.py": "import os\n\n" + LONG,
    "shop/two.py": LONG,
    "web/app.ts": "export function f(a: number) { return a > 1 ? a : 0 }\n",
    "notes.txt": "two\nlines\n",
}


@pytest.fixture
def run(ctx: HandlerContext) -> Run:
    """Analyse with these config fields; the output or the error."""

    def run(**fields: Any) -> CodeAnalysisOutput:
        outcome = CodeAnalysis().run(ctx, CodeAnalysisConfig.model_validate(fields))
        assert isinstance(outcome, Succeeded)
        assert isinstance(outcome.result, CodeAnalysisOutput)
        return outcome.result

    return run


@pytest.fixture
def code_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that the operator allows to be read, though only its owner may."""
    folder = tmp_path / "code"
    folder.mkdir(mode=0o700)
    code_source.configure([str(folder)])
    yield folder
    code_source.configure([])


def fault(run: Run, **fields: Any) -> HandlerError:
    with pytest.raises(HandlerError) as caught:
        run(**fields)
    return caught.value


def tar(files: Mapping[str, str], *links: tarfile.TarInfo, mode: str = "w:gz") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:  # type: ignore[call-overload]
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
        for link in links:
            archive.addfile(link)
    return made.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zipped(files: Mapping[str, bytes], mode: int = stat.S_IFREG | 0o644) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def test_texts_are_analysed_by_all_tools(run: Run) -> None:
    found = run(files=FILES, complexityThreshold=3)
    assert found.files == 4
    assert found.size is not None
    assert {name: item.files for name, item in found.size.languages.items()} == {"python": 2, "typescript": 1}
    assert found.size.lines == sum(text.count("\n") for text in FILES.values())
    assert found.complexity is not None
    assert (found.complexity.functions, found.complexity.highest, found.complexity.above_threshold) == (5, 5, 4)
    assert (found.complexity.worst[0].file, found.complexity.worst[0].line) == ("shop/one.py", 3)
    assert found.duplication is not None
    assert found.duplication.percent > 50
    assert {place.file for place in found.duplication.largest[0].places} == {"shop/one.py", "shop/two.py"}
    assert found.lint is not None
    assert [(item.rule, item.file, item.line) for item in found.lint.shown] == [("F401", "shop/one.py", 1)]


@pytest.mark.parametrize("wanted", ["size", "complexity", "duplication", "lint"])
def test_only_what_is_asked_for_is_told(run: Run, wanted: str) -> None:
    found = run(files=FILES, analysis_type=wanted).model_dump(exclude_none=True)
    assert set(found) == {"files", wanted}


def test_rules_can_be_chosen_or_left_to_the_project(run: Run) -> None:
    assert (lint := run(files=FILES, analysisType="lint", rules=["D103"]).lint) is not None
    assert lint.rules == {"D103": 4}
    own = FILES | {"ruff.toml": 'lint.select = ["E4"]\n'}
    assert (lint := run(files=own, analysisType="lint", projectRules=True).lint) is not None
    assert lint.findings == 0
    assert fault(run, files=FILES, analysisType="lint", rules=["NO-RULE"]).info.code == "script_failed"


def test_code_that_is_no_code_is_told_as_what_it_is(run: Run) -> None:
    odd = {"broken.py": "def (:\n", "binary.bin": "x\u0000y", "deep.py": "(" * 3000, "empty.py": ""}
    found = run(files=odd)
    assert found.files == 4
    assert found.lint is not None
    assert found.lint.findings > 0


def test_a_repository_is_fetched_as_an_archive(run: Run, peer: Peer) -> None:
    archive = tar({f"repo-main/{name}": text for name, text in FILES.items()})
    url = peer.route("/owner/repo/archive/main.tar.gz", lambda exchange: exchange.reply(200, archive))
    repository = url.removesuffix("/archive/main.tar.gz")
    found = run(
        repository_url=f"{repository}.git", repository_ref="main", analysis_type="complexity", repository_token="t0ken"
    )
    assert found.complexity is not None
    assert found.complexity.worst[0].file == "shop/one.py"
    assert peer.requests[0].headers["authorization"] == "Bearer t0ken"


def test_a_repository_that_is_not_there_fails_with_its_status(run: Run, peer: Peer) -> None:
    error = fault(run, repository_url=peer.url("/owner/none"), analysis_type="complexity")
    assert (error.info.code, error.info.details["status"]) == ("http_status", 404)


def test_a_repository_on_a_private_address_is_refused(run: Run) -> None:
    assert fault(run, repository_url="http://127.0.0.2/owner/repo").info.code == "egress_refused"


@pytest.mark.parametrize("url", ["ssh://git@example.com/a/b", "git@example.com:a/b.git", "git://example.com/a/b"])
def test_a_repository_that_cannot_be_fetched_so_is_refused(run: Run, url: str) -> None:
    assert fault(run, repository_url=url).info.code == "repository_unsupported"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://github.com/example/repo", "https://github.com/example/repo/archive/HEAD.tar.gz"),
        ("https://github.com/example/repo.git/", "https://github.com/example/repo/archive/HEAD.tar.gz"),
        ("https://gitlab.com/a/b/repo", "https://gitlab.com/a/b/repo/-/archive/HEAD/repo-HEAD.tar.gz"),
        ("https://bitbucket.org/a/repo", "https://bitbucket.org/a/repo/get/HEAD.tar.gz"),
        ("https://example.com/x/code.zip?v=2", "https://example.com/x/code.zip?v=2"),
    ],
)
def test_the_hosts_of_repositories_are_known(url: str, address: str) -> None:
    assert archive_address(url, "HEAD") == address


def test_an_allowed_folder_is_read_without_its_links(run: Run, code_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text(LOOP)
    (code_folder / "inside.py").write_text(LOOP)
    (code_folder / "link.py").symlink_to(tmp_path / "outside.py")
    (code_folder / "folder").symlink_to(tmp_path)
    for address in ({"path": str(code_folder)}, {"repository_url": code_folder.as_uri()}):
        found = run(**address, analysisType="complexity")
        assert (found.files, found.complexity and found.complexity.functions) == (1, 1)


def test_a_folder_that_is_not_allowed_is_refused_whether_it_exists_or_not(
    run: Run, code_folder: Path, tmp_path: Path
) -> None:
    (code_folder / "out").symlink_to("/etc")
    told = set()
    for path in ("/etc", "/no/such/folder", f"{code_folder}/../..", f"{code_folder}/out", f"{code_folder}x", "."):
        error = fault(run, path=path)
        told.add(error.info.message.replace(path, "PATH"))
        assert error.info.code == "folder_not_allowed"
    assert len(told) == 1


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "zip"])
def test_archives_of_any_kind_are_read(run: Run, code_folder: Path, kind: str) -> None:
    path = code_folder / f"code.{kind}"
    encoded = {name: text.encode() for name, text in FILES.items()}
    data = zipped(encoded) if kind == "zip" else tar(FILES, mode={"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz"}[kind])
    path.write_bytes(data)
    assert run(path=str(path), analysisType="size").files == 4


HOSTILE = {
    "a path that leads out": tar({"../../escaped.py": "x"}),
    "a path from the root": tar({"/tmp/escaped.py": "x"}),
    "a link": tar({}, link("a", "/etc/passwd")),
    "a folder that is a link, and a file in it": tar({}, link("a", "/tmp")),
    "a second name": tar({"a": "x"}, link("b", "a", tarfile.LNKTYPE)),
    "a device": tar({}, link("a", "", tarfile.CHRTYPE)),
    "a pipe": tar({}, link("a", "", tarfile.FIFOTYPE)),
    "a path that leads out of a zip": zipped({"../../escaped.py": b"x"}),
    "a link in a zip": zipped({"a": b"/etc/passwd"}, stat.S_IFLNK | 0o777),
    "a bomb": zipped({"a": b"\0" * (40 << 20)}),
    "a bomb of files": zipped({f"{n}": b"" for n in range(500)}),
    "half an archive": tar({"a": "x" * 100_000}, mode="w:gz")[:-200],
    "no archive": b"this is no archive",
    "nothing": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused(run: Run, ctx: HandlerContext, name: str) -> None:
    ref = ctx.artifact("code.bin", HOSTILE[name], "application/octet-stream")
    error = fault(run, archive=str(ref.id), limits={"diskMb": 16, "files": 200})
    assert error.info.code in {"bad_archive", "file_limit"}, error.info
    assert error.info.code == "bad_archive" or "bomb" in name
    assert not Path("/tmp/escaped.py").exists()


def test_names_that_are_no_text_are_told_as_far_as_they_are(run: Run, code_folder: Path) -> None:
    name = b"caf\xe9.py"
    (code_folder / os.fsdecode(name)).write_bytes(b"def na\0me(x):\n    return x\n")
    (code_folder / "b.js").write_bytes(b"function a\0b(x) { return x }\n")
    output = run(path=str(code_folder))
    assert output.size is not None
    assert "caf\ufffd.py" in {file.file for file in output.size.largest}


def test_a_folder_that_is_too_large_is_refused(run: Run, code_folder: Path) -> None:
    for number in range(30):
        (code_folder / f"{number}.py").touch()
    assert fault(run, path=str(code_folder), limits={"files": 20}).info.code == "code_too_large"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"files": {"a": ""}, "archive": "0192f0c1-2b3c-7def-8123-456789abcdef"},
        {"files": {"a": ""}, "analysisType": "beauty"},
        {"files": {"../a": ""}},
        {"repositoryUrl": "https://github.com/a/b", "repositoryRef": "--upload-pack=x"},
        {"archive": "no-id"},
    ],
)
def test_a_config_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CodeAnalysisConfig.model_validate(fields)
