"""A state of records by what somebody types: a folder, an address, a bundle, or a commit of this checkout."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from workbench import bundles, environment, store
from workbench.spec import Record, UserError

GIT = "git:"


def state(text: str) -> store.Contents:
    """The records of what was typed: `git:HEAD~1` is what was committed under results/records then."""
    if text.startswith(GIT):
        return _committed(text.removeprefix(GIT))
    place = store.where(text)
    if not isinstance(place, store.Url) and (place.suffix == ".zip" or place.is_file()):
        return store.Contents(bundles.opened(place).records, ())
    there = text and (isinstance(place, store.Url) or place.exists())
    contents = store.read(place) if there else None
    if contents is None or (isinstance(place, store.Url) and not contents.ends):
        raise UserError(
            f"There is no {text!r} to compare. Give a folder of records, a bundle, an address, or git:COMMIT."
        )
    return contents


def _committed(revision: str) -> store.Contents:
    home = environment.home()
    folder = store.default().relative_to(home).as_posix()
    named = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if named is None:
        raise UserError(f"No commit {revision!r} in {home}. Give one of `git log`, such as git:HEAD~1.")
    packed = _git("archive", "--format=tar", named.decode().strip(), "--", folder)
    if packed is None:
        raise UserError(f"The commit {revision!r} has no {folder}, so no records. Give another one.")
    records, problems = list[Record](), list[store.Problem]()
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        for member in sorted(tar.getmembers(), key=lambda m: m.name):
            path = Path(member.name)
            content = tar.extractfile(member) if path.suffix == ".jsonl" and path.parent.as_posix() == folder else None
            for number, line in enumerate(content.read().split(b"\n") if content else (), start=1):
                if line.strip():
                    try:
                        records.append(store.parse(line))
                    except ValueError as error:
                        problems.append(store.Problem(Path(f"{GIT}{revision}") / path.name, number, str(error)))
    return store.Contents(tuple(records), tuple(problems))


def _git(*words: str) -> bytes | None:
    try:
        done = subprocess.run(("git", "-C", environment.home(), *words), capture_output=True, check=False)
    except OSError:
        raise UserError("No git here, so commits cannot be read. Install it, or give folders or bundles.") from None
    return done.stdout if done.returncode == 0 else None
