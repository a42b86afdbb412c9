"""Every error that `curation` raises on purpose.

    CurationError                 what a person can mend; the command line prints it without a traceback
    ├── InputError (ValueError)   a file, a record or an argument that cannot be used
    │   ├── RleError              a mask that is no valid COCO RLE
    │   ├── ImageError            a picture that cannot be read rightly
    │   ├── RecordError           a record (JSON, row) of a dataset that cannot be used
    │   └── ContractError         a table that breaks its contract in data_schemas/
    ├── QueryError                a report, or the SQL a person typed, that cannot be run
    ├── LakeError                 the workspace, its catalog or its data files
    │   └── LakeBusyError         other writers held the catalog for too long
    ├── ChecksFailedError         a gate that was not passed; the command ends with 1, as `curation check` does
    ├── DownloadError             a fetch that failed or brought the wrong bytes
    └── MissingExtraError         an optional package or program that is not installed

A message says, in this order: where, what came, what is allowed, what to do.
"""


class CurationError(Exception):
    """What a person can mend. Prints as one message, never as a traceback."""


class InputError(CurationError, ValueError):
    """An input that cannot be used; long work turns it into a row of `problems`."""

    #: Short snake_case word, grouped on by the `problems` report.
    kind = "input"


class RleError(InputError):
    kind = "rle"


class ImageError(InputError):
    kind = "image"


class RecordError(InputError):
    kind = "record"


class ContractError(InputError):
    kind = "contract"


class QueryError(CurationError):
    pass


class LakeError(CurationError):
    pass


class LakeBusyError(LakeError):
    pass


class ChecksFailedError(CurationError):
    pass


class DownloadError(CurationError):
    pass


class MissingExtraError(CurationError):
    """An optional part is not installed.

    `extra` is the name in `pip install "curation[<extra>]"`; `what` says what needs it.
    """

    def __init__(self, what: str, extra: str, package: str | None = None) -> None:
        missing = f" ({package} is not installed)" if package else ""
        super().__init__(f'{what} needs an optional part{missing}: pip install "curation[{extra}]"')
        self.extra = extra
