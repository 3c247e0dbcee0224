"""Models on the Hugging Face Hub, or a server that speaks as it does: `hf://owner/name[@revision]`."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from clicv2_keras.utils.atomic_files import sha256
from clicv2_keras.utils.errors import UserError, install_hint
from clicv2_keras.utils.text import printable

SCHEME = "hf://"
# What a repository holds: the sums of the others, and the card. None of them is ever unpickled or run.
SUMS, CARD = "SHA256SUMS", "README.md"
TFLITE, KERAS = "model.tflite", "model.keras"
# What is fetched at most, in bytes.
MOST_BYTES = {TFLITE: 2 * 2**30, KERAS: 4 * 2**30, SUMS: 2**20}
_NEEDED_BY = {
    SUMS: "it was not made by clicv2-keras export --push",
    TFLITE: "to score without Keras needs one: clicv2-keras export makes it",
    KERAS: "for Keras one is needed; score, demo and benchmark take what is there",
}
_NO_TOKEN = "set HF_TOKEN to a token that may write there"
# As the Hub has them: words, with a point or a hyphen between two.
_PART = r"[A-Za-z0-9]\w*(?:[.-]\w+)*"
MOST_LETTERS = 96
_ADDRESS = re.compile(rf"hf://({_PART})/({_PART})(?:@([A-Za-z0-9][A-Za-z0-9._/-]{{0,199}}))?", re.ASCII)


class HubAddress(NamedTuple):
    """`owner/name`, and the revision: a branch, a tag or a commit; None is the branch `main`."""

    repository: str
    revision: str | None


def is_hub_address(model):
    """Whether MODEL is the address of a repository: text that begins with `hf://`."""
    return isinstance(model, str) and model.startswith(SCHEME)


def parse_address(address):
    """The `HubAddress` of `hf://owner/name[@revision]`.

    Raises:
        UserError: where it is none.
    """
    found = _ADDRESS.fullmatch(address)
    name = found and f"{found[1]}/{found[2]}"
    if not found or ".." in address or name.endswith(".git") or len(name) > MOST_LETTERS:
        raise UserError(f"{printable(address)}: an address is hf://owner/name or hf://owner/name@revision")
    return HubAddress(name, found[3])


def hub_file(address, name):
    """The path of a file of a repository, checked against the repository's `SHA256SUMS`.

    What was fetched once is taken from the cache (`HF_HOME`) without asking the network again: a branch or a tag is
    then what it was the first time. A newer state is had by naming its commit, or by `hf cache rm`. `HF_ENDPOINT` names
    another server than the Hub's, `HF_TOKEN` one who may read what is private.

    Args:
        address: `hf://owner/name[@revision]`.
        name: `model.tflite` or `model.keras`.

    Raises:
        UserError: where there is no such repository or file, the network is away before the first time, the file does
            not match its checksum, or `huggingface_hub` is missing.
    """
    where = parse_address(address)
    hub = _import_hub(address)
    sums = _fetch(hub, address, where, SUMS)
    # The same commit's, even where the branch moves on meanwhile.
    file = _fetch(hub, address, where._replace(revision=sums.parent.name), name)
    expected = _checksums(sums)
    if name not in expected:
        raise UserError(f"MODEL {address}: its {SUMS} does not name {name}; it was not made by export --push")
    if sha256(file) != expected[name]:
        raise UserError(f"MODEL {address}: {name} does not match its checksum; remove {file.resolve()}, and try again")
    return file


def check_push(address):
    """Find out before the work whether `push` could begin.

    Raises:
        UserError: where `address` is none, `huggingface_hub` is missing, or there is no token.
    """
    parse_address(address)
    if _import_hub(address).get_token() is None:
        raise UserError(f"--push {address}: {_NO_TOKEN}")


def push(address, folder):
    """Write the files of a folder, with their `SHA256SUMS`, to a repository in one commit; it is made where missing.

    A README that somebody wrote or changed there is kept.

    Args:
        address: `hf://owner/name[@branch]`.
        folder: the files.

    Returns:
        The commit's number, 40 digits.

    Raises:
        UserError: where that is not possible, such as without a token that may write, or where a model lies there that
            this did not write.
    """
    where, folder = parse_address(address), Path(folder)
    hub = _import_hub(address)
    api = hub.HfApi(endpoint=_endpoint())
    try:
        api.create_repo(where.repository, exist_ok=True)
        if _has_its_own_card(hub, address, where):
            (folder / CARD).unlink(missing_ok=True)
        names = sorted(path.name for path in folder.iterdir() if path.name != SUMS)
        (folder / SUMS).write_text("".join(f"{sha256(folder / name)}  {name}\n" for name in names), encoding="utf-8")
        commit = api.upload_folder(
            repo_id=where.repository,
            folder_path=folder,
            revision=where.revision,
            commit_message=f"clicv2-keras export --push: {', '.join(names)}",
        )
    except UserError:
        raise
    except Exception as error:  # its HTTP client has errors of its own
        raise UserError(f"--push {address}: {_reason(hub, error)}") from None
    return commit.oid


def _checksums(sums):
    """Of a file as `sha256sum` writes it: by name."""
    lines = [line.split(maxsplit=1) for line in sums.read_text(encoding="utf-8", errors="replace").splitlines()[:100]]
    return {words[1].removeprefix("*"): words[0].lower() for words in lines if len(words) == 2}


def _has_its_own_card(hub, address, where):
    """Whether the repository has a README other than the one that the last push wrote there."""

    def now(name):
        asked = {"repo_id": where.repository, "filename": name, "revision": where.revision, "endpoint": _endpoint()}
        try:
            return Path(hub.hf_hub_download(**asked))
        except hub.errors.RemoteEntryNotFoundError:
            return None

    card, sums = now(CARD), now(SUMS)
    written = {} if sums is None else _checksums(sums)
    for name in (TFLITE, KERAS):
        if not hub.HfApi(endpoint=_endpoint()).file_exists(where.repository, name, revision=where.revision):
            continue
        if name not in written or sha256(now(name)) != written[name]:
            raise UserError(f"--push {address}: its {name} was not written by export --push; name another place")
    return card is not None and written.get(CARD) != sha256(card)


def _fetch(hub, address, where, name):
    """The path of one file in the cache; it is asked for where it is not there yet."""
    asked = {"repo_id": where.repository, "filename": name, "revision": where.revision, "endpoint": _endpoint()}
    try:
        return Path(hub.hf_hub_download(**asked, local_files_only=True))
    except hub.errors.LocalEntryNotFoundError:
        pass
    most = MOST_BYTES[name]
    url = hub.hf_hub_url(where.repository, name, revision=where.revision, endpoint=_endpoint())
    try:
        # Where nobody answers this says so at once; `hf_hub_download` would try for half a minute, and tell of it.
        size = hub.get_hf_file_metadata(url, endpoint=_endpoint()).size
        if size is None or size > most:
            limit = f"{most / 2**20:,.0f} MiB"
            raise UserError(
                f"MODEL {address}: {name} is larger than {limit}, or does not say its size; it is not fetched"
            )
        return Path(hub.hf_hub_download(**asked))
    except UserError:
        raise
    except hub.errors.RemoteEntryNotFoundError:
        raise UserError(f"MODEL {address}: holds no {name}; {_NEEDED_BY[name]}") from None
    except Exception as error:  # its HTTP client has errors of its own
        raise UserError(f"MODEL {address}: {_reason(hub, error)}") from None


def _reason(hub, error):
    """One phrase on what the server says."""
    known = (
        (hub.errors.GatedRepoError, "asks for your consent first, on its page; then set HF_TOKEN"),
        (hub.errors.RepositoryNotFoundError, "there is no such repository, or HF_TOKEN may not read it"),
        (hub.errors.RevisionNotFoundError, "there is no such revision"),
        (hub.errors.LocalTokenNotFoundError, _NO_TOKEN),
    )
    for kind, words in known:
        if isinstance(error, kind):
            return words
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return "the server refuses it; set HF_TOKEN to a token that may do that"
    away = hub.errors.LocalEntryNotFoundError, hub.errors.OfflineModeIsEnabled, ConnectionError
    if isinstance(error, away) or (status is None and type(error).__module__.startswith("httpx")):
        return "the server cannot be reached, and the cache has it not; try again online"
    return printable(" ".join((str(error).splitlines() or [type(error).__name__])[0].split()))[:200]


def _endpoint():
    return os.environ.get("HF_ENDPOINT") or None


def _import_hub(address):
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ModuleNotFoundError:
        raise UserError(f"{address}: needs huggingface_hub; {install_hint('hf')}") from None
    return huggingface_hub
