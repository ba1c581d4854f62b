"""Every error that Hearabouts raises on purpose, in families by who must act.

::

    RecsysError                   exit  HTTP  who acts
    ├── InputError                  65   400  whoever delivered the data or sent the request
    │   ├── UsageError               2   400  whoever typed the command
    │   ├── UnknownPlaceError        2   404  whoever typed the place
    │   ├── UnknownChartError        2   404  whoever typed the chart
    │   ├── UnknownNightError        2   404  whoever typed the night or the week
    │   ├── UnknownSongError         2   404  whoever typed the track or the artist
    │   ├── UnknownRunError          2   404  whoever typed the run
    │   ├── FrameError              65   400  whoever made the frame that a data set is to be of
    │   ├── ListsError              65   400  whoever wrote the model that is measured beside ours
    │   ├── IncompleteNightError    65   400  whoever delivered the night, or accepts it as it is
    │   ├── NotBetterError          65   409  whoever wants the run promoted
    │   ├── UnknownPurposeError     65   404  whoever wrote the client that names purposes
    │   ├── UnknownReceiptError     65   404  whoever holds the receipt
    │   ├── UnknownListError        65   404  the client, which asks for the list again
    │   ├── UnknownPictureError     65   404  the client, which asks for the pictures again
    │   ├── NoPictureError          65   415  whoever chose the file
    │   ├── LargePictureError       65   413  whoever chose the picture
    │   └── PositionError           65   400  whoever wrote the client that sends positions
    ├── IdentityError               77   401  the listener, who must sign in
    ├── NotReadyError               75   503  nobody yet: try again later
    ├── TooManyRequestsError        75   429  the client, which asks less often
    ├── ConsentError                77   403  the listener, who alone can allow it
    │   ├── StaleNoticeError        77   409  the client, which shows the notice of today and asks again
    │   └── OptedOutError           77   409  the listener, whose browser says no to partners
    ├── PrivacyBudgetError          77   403  the privacy officer
    └── SettingsError               78   500  the operator

A message says what was found and what was expected; the hint says what to do. Neither ever holds a position or a
listener's id: they end in logs, on terminals and in answers. They are made printable here, whatever was put in them.
"""

from typing import ClassVar

from recsys.printable import printable


class RecsysError(Exception):
    """The base of the tree.

    Parameters
    ----------
    message : str
        What was found and what was expected.
    hint : str
        What to do about it; may be empty.
    """

    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500
    problem: ClassVar[str] = "internal"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(printable(message))
        self.message = printable(message)
        self.hint = printable(hint)


class InputError(RecsysError):
    """Data that does not fit the contract of section 3.1, or a request that does not fit 3.4."""

    exit_code = 65
    status = 400
    problem = "bad-input"


class UsageError(InputError):
    """Arguments that do not go together."""

    exit_code = 2
    problem = "usage"


class FrameError(InputError):
    """A frame that no data set can be made of, or that has too little to learn from and to test on."""


class ListsError(InputError):
    """Lists of a model that cannot be measured: not frames, too short, or of items that do not belong there."""


class UnknownPlaceError(InputError):
    """A place that the atlas does not know."""

    exit_code = 2
    status = 404
    problem = "unknown-place"


class UnknownChartError(InputError):
    """A chart that the snapshot does not hold."""

    exit_code = 2
    status = 404
    problem = "unknown-chart"


class UnknownNightError(InputError):
    """A night, or a week, of which no chart was published."""

    exit_code = 2
    status = 404
    problem = "unknown-night"


class UnknownSongError(InputError):
    """A track, or an artist, that was on no published chart."""

    exit_code = 2
    status = 404
    problem = "unknown-song"


class UnknownRunError(InputError):
    """A run, or a version of the registered model, that the tracking store does not hold."""

    exit_code = 2
    status = 404
    problem = "unknown-run"


class IncompleteNightError(InputError):
    """A night that is missing, not whole, or not new, as far as other nights tell."""

    problem = "incomplete-night"


class NotBetterError(InputError):
    """A run that did not beat the champion by more than chance would explain."""

    status = 409
    problem = "not-better"


class UnknownPurposeError(InputError):
    """A purpose that nobody can allow."""

    status = 404
    problem = "unknown-purpose"


class UnknownReceiptError(InputError):
    """A receipt that was never given out."""

    status = 404
    problem = "unknown-receipt"


class UnknownListError(InputError):
    """A list that is not the asker's, or not any more."""

    status = 404
    problem = "unknown-list"


class UnknownPictureError(InputError):
    """A picture that is not there, not the asker's to see, or not any more."""

    status = 404
    problem = "unknown-picture"


class NoPictureError(InputError):
    """A file that is no picture of a kind that is taken."""

    status = 415
    problem = "no-picture"


class LargePictureError(InputError):
    """A picture of more bytes or pixels, or more work, than one may have."""

    status = 413
    problem = "large-picture"


class PositionError(InputError):
    """A request that carries a latitude, a longitude, or a cell finer than may be received."""

    problem = "position"


class IdentityError(RecsysError):
    """No token, or one that does not prove who is asking; why not is told to nobody."""

    exit_code = 77
    status = 401
    problem = "identity"


class NotReadyError(RecsysError):
    """Something else must finish first: another night, or the first snapshot."""

    exit_code = 75
    status = 503
    problem = "not-ready"


class TooManyRequestsError(RecsysError):
    """More requests than one listener, or one address, may send in a while."""

    exit_code = 75
    status = 429
    problem = "too-many-requests"


class ConsentError(RecsysError):
    """The listener did not allow this."""

    exit_code = 77
    status = 403
    problem = "consent"


class StaleNoticeError(ConsentError):
    """Consent under another notice than the present one."""

    status = 409
    problem = "stale-notice"


class OptedOutError(ConsentError):
    """Consent in a request whose own signal says the opposite."""

    status = 409
    problem = "opted-out"


class PrivacyBudgetError(RecsysError):
    """The release would spend privacy that is not there, or was spent already."""

    exit_code = 77
    status = 403
    problem = "privacy-budget"


class SettingsError(RecsysError):
    """A setting that is unknown, out of range, or contradicts another."""

    exit_code = 78
    status = 500
    problem = "settings"
