"""The doctor: what it says of this machine, and of one where something is broken."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.e2e.verbs import assert_one_sentence, forked, run
from worldgen.cli import checkup
from worldgen.cli.doctor import _lacks
from worldgen.model.weights import WEIGHTS

KEYS = {
    "ok": bool,
    "problems": list,
    "system": dict,
    "cores": dict,
    "memory": dict,
    "disk": dict,
    "compute": dict,
    "cuda": (dict, type(None)),
    "splats": dict,
    "kernels": dict,
    "video": dict,
    "weights": list,
    "extras": dict,
    "programs": dict,
    "check": (dict, type(None)),
}


def examined(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict]:
    capsys.readouterr()
    status = run("doctor", "--json", *arguments)
    facts = json.loads(capsys.readouterr().out)
    assert list(facts) == list(KEYS)
    return status, facts


def test_a_machine_that_runs_these_tests_can_grow_worlds(
    capsys: pytest.CaptureFixture[str], small_weights: Path
):
    status, facts = examined(capsys, "--model", small_weights)
    assert (status, facts["ok"], facts["problems"]) == (0, True, [])
    for key, kind in KEYS.items():
        assert isinstance(facts[key], kind), key
    assert facts["compute"]["dtype"] in ("bfloat16", "float32")
    assert facts["cores"]["usable"] >= 1
    assert 0 <= facts["cores"]["free"] <= facts["cores"]["usable"]
    assert 0 < facts["memory"]["free_bytes"] <= facts["memory"]["total_bytes"]
    assert facts["video"]["encoders"]
    assert 0 < facts["kernels"]["compiled"] <= facts["kernels"]["kernels"]
    assert all(seconds > 0 for seconds in facts["check"].values())
    for extra in facts["extras"].values():
        assert set(extra) == {"version", "for", "install"}


def test_weights_are_told_those_asked_for_first(capsys: pytest.CaptureFixture[str], small_weights: Path):
    _, facts = examined(capsys, "--model", small_weights)
    chosen, *shipped = facts["weights"]
    assert (chosen["file"], chosen["size"], chosen["error"]) == (str(small_weights), 32, None)
    assert [each["name"] for each in shipped] == sorted(file.stem for file in WEIGHTS.glob("*.safetensors"))
    assert [each["error"] for each in shipped] == [None] * len(shipped)


@pytest.mark.parametrize("damage", ["cut", "header", "nan"])
def test_weights_that_are_damaged_are_told(
    capsys: pytest.CaptureFixture[str], small_weights: Path, tmp_path: Path, damage: str
):
    data = bytearray(small_weights.read_bytes())
    if damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "header":
        data[:8] = bytes(8)
    else:
        data[-2:] = b"\xc0\x7f"
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(data)
    status, facts = examined(capsys, "--model", broken)
    assert (status, facts["ok"], facts["check"]) == (1, False, None)
    assert str(broken) in facts["problems"][0]
    assert facts["weights"][0]["error"] == facts["problems"][0]
    done = forked("doctor", "--model", broken)
    assert done.returncode == 1
    assert "worlds cannot be grown here" in done.stdout


def test_weights_that_are_not_there_are_a_wrong_request(tmp_path: Path):
    assert_one_sentence(forked("doctor", "--model", tmp_path / "no"), status=2, about="there are no weights")


def test_shipped_weights_that_were_changed_are_told(monkeypatch: pytest.MonkeyPatch):
    """Another bit in a weight is another weight, which nothing but a checksum notices."""
    assert checkup._weights_in(WEIGHTS / "tiny.safetensors")["error"] is None
    monkeypatch.setattr(checkup, "_checksums", lambda: {"tiny.safetensors": "0" * 64})
    error = checkup._weights_in(WEIGHTS / "tiny.safetensors")["error"]
    assert "is not what was published" in error


def test_every_file_of_weights_that_ships_has_its_checksum():
    """After training anew: ``sha256sum *.safetensors > SHA256SUMS`` in the folder of the weights."""
    assert set(checkup._checksums()) == {file.name for file in WEIGHTS.glob("*.safetensors")}


def test_a_package_that_does_not_load_is_told_and_nothing_else_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(checkup, "NEEDED", ("torch", "no_such_package_here"))
    status, facts = examined(capsys)
    assert status == 1
    assert len(facts["problems"]) == 1
    assert facts["problems"][0].startswith("no_such_package_here cannot be imported")
    assert [name for name in KEYS if facts[name] is None] == [
        "compute", "cuda", "splats", "kernels", "video", "weights", "check",
    ]  # fmt: skip
    assert run("doctor") == 1
    assert "worlds cannot be grown here" in capsys.readouterr().out


BROKEN = "failed with status 4: out of cheese"


@pytest.mark.parametrize(
    ("wanted", "why", "status"),
    [("", BROKEN, 0), ("cpp", f"cannot be had: .* {BROKEN}", 1), ("numba", "SPLAT_KERNELS asks for it", 0)],
)
@pytest.mark.usefixtures("unchosen")
def test_what_draws_splats_is_told_and_why(
    wanted: str,
    why: str,
    status: int,
    small_weights: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    """Where the compiler is broken."""
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\necho out of cheese >&2; exit 4\n")
    compiler.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("WORLDGEN_SPLAT_KERNELS", wanted)
    said, facts = examined(capsys, "--model", small_weights)
    assert said == status
    assert facts["splats"]["kernels"] == (None if wanted == "cpp" else "numba")
    assert re.search(why, facts["splats"]["why"])
    run("doctor", "--model", small_weights)
    assert ("CPU: none" if wanted == "cpp" else "CPU: numba") in capsys.readouterr().out


def test_too_little_memory_and_disk_are_told():
    enough = {"weights": [{"error": None}], "memory": {"free_bytes": 1 << 40}}
    enough["disk"] = {"free_bytes": 1 << 40, "folder": "/"}
    assert _lacks(enough) == []
    assert _lacks(enough | {"memory": {"free_bytes": None}}) == []
    little = {"memory": {"free_bytes": 5 << 20}, "disk": {"free_bytes": 3 << 20, "folder": "/"}}
    memory, disk = _lacks(enough | little)
    assert "5 are free" in memory
    assert "3 are free for /" in disk


def test_the_list_is_for_people(capsys: pytest.CaptureFixture[str], small_weights: Path):
    capsys.readouterr()
    assert run("doctor", "--model", small_weights) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert len(lines) < 50
    assert lines[-1].split() == ["so", "worlds", "can", "be", "grown", "here"]
    for word in ("cores", "memory", "torch", "weights", "a frame"):
        assert any(line.strip().startswith(word) for line in lines), word
