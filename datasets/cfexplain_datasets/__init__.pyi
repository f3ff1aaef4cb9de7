from .lesion import Lesion as Lesion
from .registry import READERS as READERS
from .registry import open_dataset as open_dataset
from .report import DataError as DataError
from .table import LesionTable as LesionTable
