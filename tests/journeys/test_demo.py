"""The demonstration, as a newcomer starts it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PLAY = """
import sys
from pathlib import Path
from penstock.demo.play import Options, main
sys.exit(main(Options(folder=Path(sys.argv[1]))))
"""


@pytest.mark.slow
@pytest.mark.net
@pytest.mark.timeout(300)
def test_the_demonstration_tells_its_story_and_leaves_results(tmp_path: Path) -> None:
    played = subprocess.run(
        [sys.executable, "-c", PLAY, str(tmp_path / "demo")], capture_output=True, text=True, check=False
    )
    said = played.stdout + played.stderr
    assert played.returncode == 0, said
    assert "The title says 120 meV; the monitor peaks give 129.6 meV." in said
    assert re.search(r"reduce of S2p5min_00070_00001.h5: attempt 1 .*SIGKILL", said)
    assert "reduce (its first worker was killed; finished once)" in said
    assert "the file is truncated: its superblock says 4,880,044 bytes, it has 2,440,022" in said
    pages = sorted(path.parent.name for path in (tmp_path / "demo").rglob("index.html"))
    assert pages == [
        "33837rear_2D_1.75_16.5_NXcanSAS_v3",
        "S2p5min_00070_00001",
        "S2p5min_00070_00001_interrupted",
        "chopper",
    ]
    assert len(re.findall(r"✓ \w+ succeeded", said)) == 4
    assert len(re.findall(r"✗ \w+ failed", said)) == 1
