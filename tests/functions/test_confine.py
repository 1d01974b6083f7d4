"""The parts of confinement: what is asked of the kernel, what is supervised, what may be published."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.functions import cgroup, confine, kernel, landlock, seccomp, tree
from penstock.functions.probe import LIMITS, SUPERVISED, probe
from penstock.functions.scratch import Unsafe, safe_listing
from penstock.functions.supervise import PERIOD_S, Watch, usage

DOCUMENT = Path(__file__).parents[2] / "docs/explanation/confinement.md"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"]) as process:
        yield process
        process.kill()


def test_a_listing_has_the_plain_files_of_all_folders(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/deep.txt").touch()
    (tmp_path / "top.txt").touch()
    (tmp_path / os.fsdecode(b"not-utf8-\xff")).touch()
    assert safe_listing(str(tmp_path)) == ["a/b/deep.txt", os.fsdecode(b"not-utf8-\xff"), "top.txt"]


@pytest.mark.parametrize("kind", ["symbolic link", "named pipe", "socket", "hard link"])
def test_a_listing_refuses_what_is_no_plain_file(kind: str, tmp_path: Path) -> None:
    outside, scratch = tmp_path / "outside", tmp_path / "scratch"
    (scratch / "sub").mkdir(parents=True)
    outside.write_text("secret")
    odd = scratch / "sub/odd"
    with socket.socket(socket.AF_UNIX) as line:
        {
            "symbolic link": lambda: odd.symlink_to(outside),
            "named pipe": lambda: os.mkfifo(odd),
            "socket": lambda: line.bind(str(odd)),
            "hard link": lambda: odd.hardlink_to(outside),
        }[kind]()
        with pytest.raises(Unsafe, match=f"sub/odd.*{kind}"):
            safe_listing(str(scratch))


def test_a_listing_follows_no_link_to_a_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(Unsafe, match="symbolic link"):
        safe_listing(str(tmp_path))


def test_a_scratch_folder_that_is_a_link_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scratch").symlink_to("/etc")
    with pytest.raises(OSError):
        safe_listing(str(tmp_path / "scratch"))


def test_without_calls_nothing_is_due() -> None:
    watch = Watch()
    watch.begin(os.getpid(), {})
    watch.end(os.getpid())
    assert watch.deadline() is None
    assert watch.sample(time.monotonic()) == []


def test_a_call_is_first_looked_at_after_one_period() -> None:
    watch = Watch()
    before = time.monotonic()
    watch.begin(os.getpid(), {"processes": 1, "timeout_s": 0.000001})
    deadline = watch.deadline()
    assert deadline is not None
    assert before + PERIOD_S <= deadline <= time.monotonic() + PERIOD_S
    assert watch.sample(deadline - 0.01) == []


def test_a_call_over_its_time_is_reported_once(sleeper: subprocess.Popen[bytes]) -> None:
    watch = Watch()
    watch.begin(sleeper.pid, {"timeout_s": 2})
    breach = watch.sample(time.monotonic() + 2.5)[0]
    assert (breach.pid, breach.limit) == (sleeper.pid, "time")
    assert re.fullmatch(r"it ran for 2\.5 s; 2 s are allowed \(timeout_s\)", breach.words)
    assert watch.deadline() is None


def test_only_what_the_call_itself_printed_counts(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    log = tmp_path / "log"
    log.write_bytes(bytes(5000))
    watch = Watch()
    watch.begin(sleeper.pid, {"log": str(log), "log_bytes": 1000})
    assert watch.sample(time.monotonic() + 1) == []
    log.write_bytes(bytes(7048))
    assert (
        watch.sample(time.monotonic() + 9)[0].words == "2.0 KiB printed; 1000 bytes are allowed (log_bytes)"
    )


def test_memory_within_the_limit_is_no_breach_even_if_shared_pages_count_twice(
    sleeper: subprocess.Popen[bytes],
) -> None:
    watch = Watch()
    watch.begin(sleeper.pid, {"memory_bytes": 1 << 30, "processes": 3})
    assert watch.sample(time.monotonic() + 1) == []
    watch.begin(sleeper.pid, {"memory_bytes": 1 << 20, "processes": 3})
    looks = (
        watch.sample(time.monotonic() + 1) for _ in range(100)
    )  # a look on a busy machine may be cut short
    assert next(found for found in looks if found)[0].limit == "memory"


def test_a_worker_that_is_gone_is_no_error() -> None:
    with subprocess.Popen(["/bin/true"]) as process:
        process.wait()
    watch = Watch()
    watch.begin(process.pid, {"memory_bytes": 1, "processes": 1, "file_bytes": 1, "scratch": ["/nowhere"]})
    assert watch.sample(time.monotonic() + 1) == []


def test_usage_counts_sparse_files_by_what_they_promise(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with open(tmp_path / "sub/sparse", "wb") as file:
        file.truncate(1 << 40)
    used, files = usage(str(tmp_path), 100)
    assert used >= 1 << 40
    assert files == 2


def test_usage_stops_counting(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / str(number)).touch()
    assert usage(str(tmp_path), 7)[1] == 7


def test_the_tree_of_a_process_has_its_grandchildren() -> None:
    script = "import subprocess, sys; subprocess.run(['/bin/sh', '-c', 'echo started; sleep 30; true'])"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        below = tree.descendants(process.pid)
        assert len(below) >= 1
        tree.kill_tree(process.pid)
        assert not any(tree.alive(pid) for pid in [process.pid, *below])
        assert process.wait() == -9


def test_a_group_limits_what_its_controllers_can(tmp_path: Path) -> None:
    """The files of a group, without a kernel behind them: what is written where."""
    folder = tmp_path / "workers"
    (folder / "w1").mkdir(parents=True)
    for name in (
        "memory.max",
        "memory.swap.max",
        "memory.oom.group",
        "pids.max",
        "cgroup.procs",
        "cgroup.kill",
    ):
        (folder / "w1" / name).write_text("max")
    path = cgroup.child(str(folder), "w1", memory_bytes=4096, tasks=7)
    assert cgroup.read(path, "memory.max").startswith("4096")
    assert cgroup.read(path, "pids.max").startswith("7")
    assert cgroup.join(path) == ["memory", "processes", "tree"]


def test_a_group_without_controllers_promises_no_limits(tmp_path: Path) -> None:
    (tmp_path / "w1").mkdir()
    (tmp_path / "w1/cgroup.procs").touch()
    path = cgroup.child(str(tmp_path), "w1", memory_bytes=4096, tasks=7)
    assert cgroup.join(path) == []


def test_a_host_without_version_2_has_no_groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text("25 1 0:21 / /sys rw - sysfs sysfs rw\n")
    monkeypatch.setattr(cgroup, "MOUNTS", str(tmp_path / "mountinfo"))
    assert cgroup.prepare() is None


def test_what_the_kernel_ended_for_its_memory_is_known(tmp_path: Path) -> None:
    assert not cgroup.ran_out_of_memory(str(tmp_path))
    (tmp_path / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    assert cgroup.ran_out_of_memory(str(tmp_path))


@pytest.mark.skipif(not kernel.supported(), reason="no system call numbers for this machine")
@pytest.mark.parametrize("network", [True, False])
def test_every_jump_of_the_filter_stays_within_it(network: bool) -> None:
    steps = seccomp._program(network, not network, [1, 2, 3])
    jumps = (0x15, 0x35, 0x45)
    for at, (code, if_true, if_false, _) in enumerate(steps):
        assert code not in jumps or at + 1 + max(if_true, if_false) < len(steps)
    assert steps[-1] == (0x06, 0, 0, 0x7FFF0000)
    assert len(steps) < 4096


def test_the_home_folder_is_not_opened_because_python_imports_from_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / "site").mkdir(parents=True)
    scratch = home / "state/scratch"
    scratch.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(
        sys, "path", [str(home), "/", str(home / "site"), str(home / "state"), "", "relative"]
    )
    opened = landlock.interpreter([str(scratch)])
    assert str(home / "site") in opened
    assert not {str(home), "/", str(home / "state")} & set(opened)
    assert os.path.realpath(sys.prefix) in opened


def test_the_probe_tells_of_every_limit_and_how_to_get_it() -> None:
    bare = {held.limit: held for held in probe(without=confine.MECHANISMS)}
    assert set(bare) == {*LIMITS, *SUPERVISED}
    assert not any(held.kernel for held in bare.values())
    assert all(bare[limit].remedy for limit in LIMITS)
    full = {held.limit: held for held in probe()}
    assert all(not held.remedy for held in full.values() if held.kernel)
    assert full["file-size"].kernel
    if landlock.abi():
        assert full["writes"].kernel
        assert full["reads"].kernel


def test_the_probe_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    probe()
    assert list(tmp_path.iterdir()) == []


def test_the_documentation_names_every_limit_and_mechanism() -> None:
    text = DOCUMENT.read_text()
    assert [name for name in (*LIMITS, *SUPERVISED, *confine.MECHANISMS) if f"`{name}`" not in text] == []
    assert confine.SWITCHED_OFF in text
