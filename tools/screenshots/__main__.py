"""`python -m tools.screenshots [FOLDER]`: write the pictures into docs/images/, or that folder."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from runtime.settings import load_settings
from tools.screenshots.filling import fill
from tools.screenshots.product import fill_inbox, running
from tools.screenshots.shrinking import shrunk
from tools.screenshots.taking import MOST, NAMES, take

IMAGES = Path(__file__).parents[2] / "docs" / "images"


async def main(to: Path) -> int:
    """Write them; 1 when one of them is too large."""
    with TemporaryDirectory(prefix="nrc-screenshots-") as folder:
        state = Path(folder)
        filled = await fill(load_settings(_env_file=None, state_dir=state), now=time.time())
        async with running(state, filled) as product:
            await take(product, await fill_inbox(product), to)
    large = 0
    for name in NAMES:
        file = to / f"{name}.png"
        file.write_bytes(shrunk(file.read_bytes()))
        size = file.stat().st_size
        large += size > MOST
        print(f"{file}  {size / 1000:.0f} kB{'  too large' if size > MOST else ''}")
    return 1 if large else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)))
