"""Objects from outside the library: plug-ins that packages install, and what users name as module:name.

A plug-in is a module that a package declares under one of these entry-point groups in its pyproject.toml. One called
`shipped` is used where no other package declares any.

- `cfexplain.classifiers`: `load(name)` returns a classifier and `card(name)` its description; `NAMES` lists them.
- `cfexplain.trainers`: `train` and `judge`; see `cfexplain_classifiers.plugin` for both groups.
- `cfexplain.datasets`: readers, checks, splits, augmentation; see `cfexplain_datasets.plugin`.
"""

import sys
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any


def plugin(group: str) -> ModuleType:
    """The module installed for the entry-point group `cfexplain.<group>`.

    Raises:
        ValueError: none is installed.
    """
    found = entry_points(group=f"cfexplain.{group}")
    if not found:
        raise ValueError(f"no {group} are installed: pip install cfexplain")
    module: ModuleType = min(found, key=lambda point: (point.name == "shipped", point.name)).load()
    return module


def load_object(name: str) -> Any:
    """What module:name stands for; modules in the working directory are found.

    Raises:
        ValueError: there is no such module or object.
    """
    module, _, attribute = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{name} cannot be imported ({error})") from None
