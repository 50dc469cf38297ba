"""The archive of functions, as the cloud builds it: `python -m deploy.archive` writes dist/.

The same sources give the same bytes, on every machine and from every folder, so that the
content's hash can name it and an unchanged archive redeploys nothing.
"""

import hashlib
import os
import sys
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from deploy import entry_points

ROOT = entry_points.ROOT
TARGET = Path("dist/functions.zip")
#: What travels: sources, and the data they read.
SUFFIXES = {".py", ".json"}
#: The first moment a ZIP can tell (APPNOTE.TXT 4.4.6: years since 1980).
EPOCH = (1980, 1, 1, 0, 0, 0)
#: A regular file, rw-r--r--, in the upper half as Unix wants it (APPNOTE.TXT 4.4.15).
MODE = 0o100644 << 16
UNIX = 3


def contents(root: Path) -> dict[str, Path]:
    """Name in the archive -> file, sorted by name.

    The functions framework puts only the folder of main.py on `sys.path`: it lies at the root,
    beside the packages it imports.
    """
    packages = {
        path.relative_to(root).as_posix(): path
        for room in ("functions", "shared")
        for path in (root / room).rglob("*")
        if path.is_file() and path.suffix in SUFFIXES
    }
    main = packages.pop(entry_points.MAIN.as_posix())
    requirements = root / "requirements" / "functions.txt"
    return dict(sorted({**packages, "main.py": main, "requirements.txt": requirements}.items()))


def build(root: Path, target: Path) -> None:
    """Write the archive of the sources below `root`. Safe to repeat: replaced in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}")
    with ZipFile(unfinished, "w") as archive:
        for name, path in contents(root).items():
            archive.writestr(_entry(name), path.read_bytes())
    unfinished.replace(target)


def _entry(name: str) -> ZipInfo:
    entry = ZipInfo(name, EPOCH)
    # Not compressed: what deflate writes differs between versions of zlib, and the whole is small.
    entry.compress_type = ZIP_STORED
    entry.create_system, entry.external_attr = UNIX, MODE
    return entry


def main() -> int:
    if entry_points.main():
        return 1
    target = ROOT / TARGET
    build(ROOT, target)
    content = target.read_bytes()
    print(f"{TARGET}  {len(content):,} bytes  sha256 {hashlib.sha256(content).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
