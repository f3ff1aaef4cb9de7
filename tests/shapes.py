"""Lesions of simple shapes on plain skin, 128 pixels a side."""

import torch

SKIN = torch.tensor([0.84, 0.63, 0.67])[:, None, None]
BROWN = torch.tensor([0.45, 0.28, 0.25])[:, None, None]
BLACK = torch.tensor([0.12, 0.11, 0.13])[:, None, None]
BLUE_GREY = torch.tensor([0.32, 0.36, 0.50])[:, None, None]

ROWS, COLUMNS = torch.meshgrid(torch.arange(128) - 63.5, torch.arange(128) - 63.5, indexing="ij")
DISTANCE, ANGLE = torch.hypot(ROWS, COLUMNS), torch.atan2(ROWS, COLUMNS)
DISC = (DISTANCE < 36)[None]
HALF = DISC & (COLUMNS > 0)
ELLIPSE = ((ROWS / 24) ** 2 + (COLUMNS / 48) ** 2 < 1)[None]
STAR = (DISTANCE - 34 * (1 + 0.35 * torch.cos(7 * ANGLE)) < 0)[None]
COMMA = DISC | (((ROWS - 30) ** 2 + (COLUMNS - 22) ** 2 < 18**2)[None])


def picture(mask, colour=BROWN):
    return torch.where(mask, colour, SKIN)
