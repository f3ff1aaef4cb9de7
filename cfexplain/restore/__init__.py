"""The prior on its own: denoise, inpaint, enlarge, flash, JPEG, and hair on lesions; no classifier is needed."""

from cfexplain.restore.hair import dehair as dehair
from cfexplain.restore.memory import reuse_memory as reuse_memory
from cfexplain.restore.preset import DEHAIR as DEHAIR
from cfexplain.restore.preset import DEJPEG as DEJPEG
from cfexplain.restore.preset import DENOISE as DENOISE
from cfexplain.restore.preset import DENOISE_HELD_OUT as DENOISE_HELD_OUT
from cfexplain.restore.preset import DENOISE_STOPPED as DENOISE_STOPPED
from cfexplain.restore.preset import FLASH as FLASH
from cfexplain.restore.preset import INPAINT as INPAINT
from cfexplain.restore.preset import PRESETS as PRESETS
from cfexplain.restore.preset import SUPERRESOLVE_4 as SUPERRESOLVE_4
from cfexplain.restore.preset import SUPERRESOLVE_8 as SUPERRESOLVE_8
from cfexplain.restore.preset import fast as fast
from cfexplain.restore.restoration import Restoration as Restoration
from cfexplain.restore.restoration import Run as Run
from cfexplain.restore.restoration import dejpeg as dejpeg
from cfexplain.restore.restoration import denoise as denoise
from cfexplain.restore.restoration import flash as flash
from cfexplain.restore.restoration import inpaint as inpaint
from cfexplain.restore.restoration import superresolve as superresolve
from cfexplain.restore.rule import Averaged as Averaged
from cfexplain.restore.rule import HeldOut as HeldOut
from cfexplain.restore.rule import MovingVariance as MovingVariance
from cfexplain.restore.rule import Sampled as Sampled
from cfexplain.restore.rule import WindowedVariance as WindowedVariance

__all__ = [
    "DEHAIR",
    "DEJPEG",
    "DENOISE",
    "DENOISE_HELD_OUT",
    "DENOISE_STOPPED",
    "FLASH",
    "INPAINT",
    "PRESETS",
    "SUPERRESOLVE_4",
    "SUPERRESOLVE_8",
    "Averaged",
    "HeldOut",
    "MovingVariance",
    "Restoration",
    "Run",
    "Sampled",
    "WindowedVariance",
    "dehair",
    "dejpeg",
    "denoise",
    "fast",
    "flash",
    "inpaint",
    "reuse_memory",
    "superresolve",
]
