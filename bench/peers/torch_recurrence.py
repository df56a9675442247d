"""A recurrent language model on PyTorch, as a benchmark's peer; see torch_steps.py.

    torch_recurrence.py '{"cell": "lstm", "layers": 2, "width": 256, "vocabulary": 256, "batch": 32, "length": 128}'

`lstm` is torch.nn.LSTM. `mingru` is minGRU (arXiv 2410.01201) with a norm before each layer and an addition behind it, its
recurrence in two forms: a loop over the positions, and the paper's scan over logarithms; the faster one here is used.
"""

import torch_steps as steps
import torch
import torch.nn.functional as F

CELL, LAYERS, WIDTH, VOCABULARY, BATCH, LENGTH = (
    steps.OPTIONS[name] for name in ('cell', 'layers', 'width', 'vocabulary', 'batch', 'length')
)
INPUTS, GOALS = (steps.ids(1, BATCH * LENGTH, VOCABULARY, start).view(BATCH, LENGTH) for start in (0, 1))


def by_loop(gate, candidate):
    """h = (1 - z) h + z candidate, position by position."""
    z = torch.sigmoid(gate)
    kept, taken = (1 - z).unbind(1), (z * candidate).unbind(1)
    states = [taken[0]]
    for place in range(1, LENGTH):
        states.append(torch.addcmul(taken[place], kept[place], states[-1]))
    return torch.stack(states, 1)


def by_logarithms(gate, candidate):
    """The paper's parallel form (appendix B), for candidates made positive: g(x) = x + 0.5 or sigmoid(x)."""
    kept = F.pad(torch.cumsum(-F.softplus(gate), 1), (0, 0, 1, 0))
    positive = torch.where(candidate >= 0, (F.relu(candidate) + 0.5).log(), -F.softplus(-candidate))
    taken = F.pad(-F.softplus(-gate) + positive, (0, 0, 1, 0), value=-30.0)
    return torch.exp(kept + torch.logcumsumexp(taken - kept, 1))[:, 1:]


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(WIDTH))
        self.gate = torch.nn.Linear(WIDTH, WIDTH)
        self.candidate = torch.nn.Linear(WIDTH, WIDTH)

    def forward(self, x, recur):
        normal = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.scale
        return x + recur(self.gate(normal), self.candidate(normal))


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.head = torch.nn.Linear(WIDTH, VOCABULARY)
        if CELL == 'lstm':
            self.lstm = torch.nn.LSTM(WIDTH, WIDTH, LAYERS, batch_first=True)
        else:
            self.layers = torch.nn.ModuleList(Layer() for _ in range(LAYERS))

    def loss(self, recur):
        x = self.embedding(INPUTS)
        if CELL == 'lstm':
            x, _ = self.lstm(x)
        else:
            for layer in self.layers:
                x = layer(x, recur)
        return F.cross_entropy(self.head(x).view(-1, VOCABULARY), GOALS.reshape(-1))


model = Model()
forms = {'loop': by_loop, 'logarithms': by_logarithms}
choice, note = 'loop', ''
if CELL == 'mingru':
    times = {}
    for name, form in forms.items():
        other = Model()
        step = steps.trainer(list(other.parameters()), lambda: other.loss(form))
        milliseconds, _ = steps.timed(step, 4)
        times[name] = min(milliseconds)
    choice = min(times, key=times.get)
    note = ' '.join(f'{name} {value:.0f} ms' for name, value in times.items()) + f', {choice} used,'
steps.serve(model.parameters(), lambda: model.loss(forms[choice]), note)
