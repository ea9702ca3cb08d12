"""Write the hashes of the pinned packages, and a bill of materials of them.

    python scripts/make_supply_chain.py          # asks the package index that pip is set to
    python scripts/make_supply_chain.py --sbom   # the bill of materials alone, from the hashes that are there

`constraints-hashed.txt` holds, for every package of `constraints.txt`, the SHA-256 of what pip would install
of it on Linux (x86-64 and ARM64) with each Python that is supported. Of packages that come as sources only,
pip runs the build for their metadata.
Install what is pinned, and nothing else, by

    pip install --require-hashes --no-deps --requirement constraints-hashed.txt
    pip install --no-deps --no-build-isolation .

`sbom.cdx.json` is the same as a CycloneDX 1.5 document. The same pins give the same bytes.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

ROOT = Path(__file__).parent.parent
PINS, HASHED, SBOM = (ROOT / name for name in ("constraints.txt", "constraints-hashed.txt", "sbom.cdx.json"))
PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
HEAD = "# Written by scripts/make_supply_chain.py; pip install --require-hashes --no-deps -r THIS FILE\n"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+?)(?: \\)?$", re.MULTILINE)


def main() -> None:
    """Ask and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sbom", action="store_true", help="make the bill of materials only")
    if not parser.parse_args().sbom:
        HASHED.write_text(hashed_text(found_hashes(pins_in(PINS.read_text()))))
    SBOM.write_text(sbom_text(HASHED.read_text()))


def pins_in(text: str) -> dict[str, str]:
    """Versions by package, as a file of pins names them."""
    return dict(_PIN.findall(text))


def hashes_in(text: str) -> dict[str, list[str]]:
    """SHA-256 of the files of each package, by the package, as a file with hashes names them."""
    parts = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    return {part.partition("==")[0]: re.findall(r"--hash=sha256:([0-9a-f]{64})", part) for part in parts[1:]}


def found_hashes(pins: Mapping[str, str]) -> dict[str, tuple[str, set[str]]]:
    """Version and hashes of every package, asked of the index."""
    names = {_normal(name): name for name in pins}
    found = {name: (version, set[str]()) for name, version in pins.items()}
    sources: set[str] = set()
    for python in PYTHONS:
        for machine in MACHINES:
            print(f"Python {python} on {machine}", file=sys.stderr)
            # What has no wheel for one of them mostly has none at all, and is taken as sources below.
            wanted = {name: version for name, version in pins.items() if name not in sources}
            items, lacking = _report(wanted, python, machine)
            sources |= lacking
            for item in items:
                name = names[_normal(item["metadata"]["name"])]
                found[name][1].add(item["download_info"]["archive_info"]["hashes"]["sha256"])
    for item in _report({name: pins[name] for name in sources})[0] if sources else ():
        name = names[_normal(item["metadata"]["name"])]
        found[name][1].add(item["download_info"]["archive_info"]["hashes"]["sha256"])
    return found


def _report(
    pins: Mapping[str, str], python: str | None = None, machine: str = ""
) -> tuple[list[Any], set[str]]:
    """What pip would install, and what has no wheel for that Python; without one, sources are taken, too."""
    wanted = dict(pins)
    kinds = [*(f"manylinux_2_{minor}" for minor in range(5, 40)), "manylinux2014"]
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps"]
        command += ["--quiet", "--target", scratch, f"--report={report}"]
        if python is not None:
            command += ["--only-binary=:all:", f"--python-version={python}"]
            command += [f"--platform={kind}_{machine}" for kind in kinds]
        while True:
            packages = [f"{name}=={version}" for name, version in wanted.items()]
            done = subprocess.run([*command, *packages], capture_output=True, text=True, check=False)
            if not done.returncode:
                return json.loads(report.read_text())["install"], pins.keys() - wanted.keys()
            refused = re.search(r"No matching distribution found for ([A-Za-z0-9._-]+)==", done.stderr)
            name = next((one for one in wanted if refused and _normal(one) == _normal(refused[1])), None)
            if name is None or python is None:
                raise SystemExit(done.stderr)
            print(f"  {name} has no wheel", file=sys.stderr)
            del wanted[name]


def hashed_text(found: Mapping[str, tuple[str, Iterable[str]]]) -> str:
    """The file with hashes."""
    lines = [HEAD]
    for name, (version, hashes) in found.items():
        listed = " \\\n".join(f"    --hash=sha256:{one}" for one in sorted(hashes))
        lines.append(f"{name}=={version} \\\n{listed}\n")
    return "".join(lines)


def sbom_text(hashed: str) -> str:
    """The bill of materials of a file with hashes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    init = (ROOT / "src" / "sampleset" / "__init__.py").read_text()
    version = project.get("version") or re.findall(r'^__version__ = "(.+)"$', init, re.MULTILINE)[0]
    hashes = hashes_in(hashed)
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{_normal(name)}@{own}",
            "name": name,
            "version": own,
            "purl": f"pkg:pypi/{_normal(name)}@{own}",
            "hashes": [{"alg": "SHA-256", "content": one} for one in hashes[name]],
            **_licence(name),
        }
        for name, own in pins_in(hashed).items()
    ]
    whole = f"pkg:pypi/sampleset@{version}"
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, whole + hashed)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": whole,
                "name": "sampleset",
                "version": version,
                "purl": whole,
            }
        },
        "components": components,
        "dependencies": [{"ref": whole, "dependsOn": [one["purl"] for one in components]}],
    }
    return json.dumps(document, indent=1) + "\n"


def _licence(name: str) -> dict[str, Any]:
    """What an installed package says of its licence, if that is short."""
    try:
        about: Any = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return {}
    expression = about.get("License-Expression")
    if expression:
        return {"licenses": [{"expression": expression}]}
    text = about.get("License", "")
    return {"licenses": [{"license": {"name": text}}]} if text and "\n" not in text and len(text) < 60 else {}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
