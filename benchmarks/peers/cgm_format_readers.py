"""cgm-format on the files that `benchmarks/readers.py --keep FOLDER` left, for the formats it reads.

`python benchmarks/peers/cgm_format_readers.py FOLDER`, in an environment with cgm-format. Of a Nightscout site it reads entries
and treatments; profiles, and so basal rates, it does not.
"""

import resource
import sys
import time
from pathlib import Path

FORMATS = ("nightscout", "clarity", "libreview", "carelink")


def read(name: str, folder: Path) -> int:
    """Reads what a format's generator wrote; returns the rows that came out."""
    from cgm_format import FormatParser

    if name == "nightscout":
        texts = ((folder / f"{part}.json").read_text(encoding="utf-8") for part in ("entries", "treatments"))
        return len(FormatParser.parse_nightscout(*texts))
    rows = 0
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        text = FormatParser.decode_raw_data(path.read_bytes())
        rows += len(FormatParser.parse_to_unified(text, FormatParser.detect_format(text)))
    return rows


def main() -> None:
    print(f"{'format':<12} {'rows':>9} {'seconds':>8} {'MB':>7}")
    for name in FORMATS:
        folder = Path(sys.argv[1], name)
        if not folder.is_dir():
            continue
        read(name, folder / "day")  # warms up
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        rows = read(name, folder / "year")
        spent, after = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{name:<12} {rows:>9,} {spent:>8.2f} {(after - before) / 1024:>7.0f}")


if __name__ == "__main__":
    main()
