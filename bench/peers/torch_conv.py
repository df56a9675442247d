"""A small convolutional net on PyTorch, as a benchmark's peer; see torch_steps.py.

    torch_conv.py '{"batch": 32, "side": 32, "channels": 3, "stages": [32, 64, 128], "classes": 10}'
"""

import torch_steps as steps
import torch
import torch.nn.functional as F

BATCH, SIDE, CHANNELS, STAGES, CLASSES = (
    steps.OPTIONS[name] for name in ('batch', 'side', 'channels', 'stages', 'classes')
)

CONVOLUTIONS = torch.nn.ModuleList(
    torch.nn.Conv2d(inputs, outputs, 3, padding=1) for inputs, outputs in zip([CHANNELS, *STAGES], STAGES)
)
HEAD = torch.nn.Linear(STAGES[-1] * (SIDE >> len(STAGES)) ** 2, CLASSES)

INDEX = torch.arange(BATCH * CHANNELS * SIDE * SIDE, dtype=torch.float64)
KIND = (INDEX // (CHANNELS * SIDE * SIDE)) % CLASSES
WAVES = torch.sin((INDEX % (SIDE * SIDE)) * (KIND + 1) / 7 + INDEX / 1000)
PICTURES = WAVES.float().view(BATCH, CHANNELS, SIDE, SIDE)
KINDS = torch.arange(BATCH) % CLASSES


def loss_of():
    x = PICTURES
    for convolution in CONVOLUTIONS:
        x = F.max_pool2d(F.relu(convolution(x)), 2)
    return F.cross_entropy(HEAD(x.flatten(1)), KINDS)


steps.serve([*CONVOLUTIONS.parameters(), *HEAD.parameters()], loss_of, f'oneDNN {torch.backends.mkldnn.is_available()}')
