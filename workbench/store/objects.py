"""The client of an object storage: how it is reached, how long it is waited for, and its errors as sentences."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from workbench.spec import UserError

T = TypeVar("T")

PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
"""What fsspec needs for a kind of storage."""

EXTRAS = {"s3fs": "s3", "gcsfs": "gs"}
"""The extra that a package is in."""

CONNECT, ANSWER = 5, 15
"""Seconds until a connection stands, and between two pieces of an answer."""

S3 = {"config_kwargs": {"connect_timeout": CONNECT, "read_timeout": ANSWER, "retries": {"total_max_attempts": 1}}}
"""s3fs asks five times by itself; its client would ask as often in each of them, and minutes would go by."""

MEND = {
    "NoCredentialsError": "No credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "PartialCredentialsError": "Half of the credentials are missing: look at AWS_SECRET_ACCESS_KEY or ~/.aws",
    "ProfileNotFound": "There is no such profile: look at AWS_PROFILE and ~/.aws/config",
    "ExpiredToken": "log in again; what was written stays",
    "ExpiredTokenException": "log in again; what was written stays",
    "TokenRefreshRequired": "log in again; what was written stays",
    "InvalidAccessKeyId": "look at AWS_PROFILE and ~/.aws/credentials",
    "SignatureDoesNotMatch": "look at AWS_SECRET_ACCESS_KEY and ~/.aws/credentials",
    "RequestTimeTooSkewed": "set this machine's clock: timedatectl set-ntp true",
    "AuthorizationHeaderMalformed": "name the bucket's region: AWS_DEFAULT_REGION",
    "PermanentRedirect": "name the bucket's region: AWS_DEFAULT_REGION",
    "IllegalLocationConstraintException": "name the bucket's region: AWS_DEFAULT_REGION",
    "404": "Not found, and not as a storage says it: look at AWS_ENDPOINT_URL, the bucket and the credentials",
    "NoSuchBucket": "make it, or look at its name and AWS_PROFILE",
    "DefaultCredentialsError": "No credentials were found: gcloud auth application-default login",
    "RefreshError": "log in again: gcloud auth application-default login",
}
"""By an error's code or kind, what mends it; where it begins as a sentence, the storage's own says less."""

UNANSWERED = ("ConnectTimeoutError", "ReadTimeoutError", "FSTimeoutError", "TimeoutError", "ServerTimeoutError")


def connected(url: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    import fsspec

    scheme = url.partition(":")[0]
    if scheme not in fsspec.available_protocols():
        raise UserError(f"No storage {scheme!r}, of {url}. Known are a folder, s3://, gs:// and what else fsspec has.")
    package = PACKAGES.get(scheme, f"fsspec's file system for {scheme}")
    mend = f"-c constraints.txt -e '.[{EXTRAS[package]}]'" if package in EXTRAS else package
    logging.getLogger(package).setLevel(logging.CRITICAL)  # it logs with a traceback what it raises, and we tell
    try:
        options = S3 if package == "s3fs" else {}
        files, root = fsspec.url_to_fs(url, use_listings_cache=False, **options)
    except ImportError:
        raise UserError(f"{url} needs the package {package}, which is not installed: pip install {mend}") from None
    except Exception as error:  # whatever its client raises: each has a hierarchy of its own
        raise UserError(
            f"The address {url} cannot be used: {sentence(error)}. For example: s3://bucket/records"
        ) from None
    return files, str(root).rstrip("/")


def asked(question: Callable[[], T]) -> T:
    """The storage's answer; whatever its client raises becomes an OSError with its reason."""
    try:
        return question()
    except (KeyboardInterrupt, UserError):
        raise
    except Exception as error:
        raise plain(error) from None


def plain(error: Any) -> OSError:
    """An error as an OSError whose `strerror` is a sentence and says what to do, where that is known."""
    number = getattr(error, "errno", None)
    if not isinstance(number, int):  # many clients raise without one
        number = errno.ENOENT if isinstance(error, FileNotFoundError) else errno.EIO
    return OSError(number, sentence(error))


def sentence(error: Any) -> str:
    """What went wrong, in one line."""
    told = " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split()).rstrip(".")
    causes = _causes(error)
    if any(cause in UNANSWERED for cause in causes):
        return f"{told or 'No answer'} (tried several times, up to {ANSWER} s each: is the network up?)"
    mend = next((MEND[cause] for cause in causes if cause in MEND), None)
    if mend is None:
        return told or type(error).__name__
    return mend if mend[0].isupper() else f"{told} ({mend})"


def refused(error: BaseException) -> bool:
    """Whether the storage itself has said so, and not only its client that there is nothing."""
    return any(isinstance(getattr(each, "response", None), dict) for each in _chain(error))


def _causes(error: BaseException) -> list[str]:
    """The storage's code of an error and the kinds of what was raised, the outermost first."""
    found = list[str]()
    for each in _chain(error):
        answer = getattr(each, "response", None)
        if isinstance(answer, dict):
            found.append(str(answer.get("Error", {}).get("Code")))
        found.append(type(each).__name__)
    return found


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(20):
        if error is not None:
            yield error
            error = error.__cause__ or error.__context__
