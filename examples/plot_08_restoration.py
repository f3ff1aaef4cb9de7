"""
Restoration by the prior
========================

The untrained network alone, without a classifier: it learns the image before it
learns the damage, so stopping early removes noise. It is the same descent as in
an explanation, with another data term.
"""

# %%
import torch

from cfexplain.restore import DENOISE, INPAINT, denoise, fast, inpaint
from cfexplain.restore.quality import psnr
from cfexplain_datasets.synthetic import SyntheticLesions

clean = SyntheticLesions(4, size=96, split="test")[2].image[None]
rng = torch.Generator().manual_seed(0)
noisy = (clean + 0.1 * torch.randn(clean.shape, generator=rng)).clamp(0, 1)

# %%
# ``DENOISE`` holds the published settings; ``fast`` gives the same task a
# narrow network and a share of the steps. A tenth keeps this example short.

restored = denoise(noisy, method=fast(DENOISE, share=0.1))
print(restored.method, restored.steps, restored.ending)

# %%
# Inpainting: the mask is 1 where a pixel is missing.

holes = (torch.rand(1, 1, 96, 96, generator=rng) < 0.4).float()
filled = inpaint(clean * (1 - holes), holes, method=fast(INPAINT, share=0.05))

# %%
from matplotlib.figure import Figure

shown = {
    "original": clean,
    f"noisy, {psnr(noisy, clean):.1f} dB": noisy,
    f"denoised, {psnr(restored.image, clean):.1f} dB": restored.image,
    "40 % missing": clean * (1 - holes),
    f"inpainted, {psnr(filled.image, clean):.1f} dB": filled.image,
}
figure = Figure(figsize=(12, 2.8), layout="constrained")
axes = figure.subplots(1, len(shown))
for axis, (title, image) in zip(axes, shown.items(), strict=True):
    axis.imshow(image[0].permute(1, 2, 0))
    axis.set_title(title)
    axis.set_axis_off()
figure
