"""An encoder and a decoder with cross attention on PyTorch, as a benchmark's peer; see torch_steps.py.

    torch_cross.py '{"layers": 2, "width": 128, "heads": 4, "vocabulary": 512, "batch": 16, "sources": 160, "targets": 96}'
"""

import math

import torch_steps as steps
import torch
import torch.nn.functional as F

LAYERS, WIDTH, HEADS, VOCABULARY, BATCH, SOURCES, TARGETS = (
    steps.OPTIONS[name] for name in ('layers', 'width', 'heads', 'vocabulary', 'batch', 'sources', 'targets')
)
SIZE = WIDTH // HEADS
NAMES = ('query', 'key', 'value', 'out')


def parameters():
    p = {
        'embedding': torch.randn(VOCABULARY, WIDTH) * 0.02,
        'sources': torch.randn(SOURCES, WIDTH) * 0.02,
        'targets': torch.randn(TARGETS, WIDTH) * 0.02,
    }

    def dense(name, inputs, outputs, deviation=0.02):
        p[f'{name}.weight'] = torch.randn(outputs, inputs) * deviation
        p[f'{name}.bias'] = torch.zeros(outputs)

    def norm(name):
        p[f'{name}.weight'], p[f'{name}.bias'] = torch.ones(WIDTH), torch.zeros(WIDTH)

    residual = 0.02 / math.sqrt(2 * LAYERS)
    for side, parts in (('encoder', ('self',)), ('decoder', ('self', 'cross'))):
        for layer in range(LAYERS):
            at = f'{side}.{layer}'
            for part in parts:
                norm(f'{at}.{part}.norm')
                for name in NAMES:
                    dense(f'{at}.{part}.{name}', WIDTH, WIDTH, residual if name == 'out' else 0.02)
            norm(f'{at}.mlp.norm')
            dense(f'{at}.mlp.up', WIDTH, 4 * WIDTH)
            dense(f'{at}.mlp.down', 4 * WIDTH, WIDTH, residual)
        norm(f'{side}.norm')
    return {name: torch.nn.Parameter(tensor) for name, tensor in p.items()}


P = parameters()
IDS = steps.ids(BATCH, SOURCES, VOCABULARY, 7)
INPUTS, GOALS = (steps.ids(BATCH, TARGETS, VOCABULARY, start) for start in (0, 1))
LENGTHS = torch.tensor([round(SOURCES * (0.5 + row / (2 * (BATCH - 1)))) for row in range(BATCH)])
# Masks as baddbmm takes them, made once: the heads of a row share what is hidden.
PADDING = torch.where(torch.arange(SOURCES) < LENGTHS[:, None], 0.0, -math.inf)[:, None, None, :]


def padding(queries):
    whole = PADDING.expand(BATCH, HEADS, queries, SOURCES)
    return whole.reshape(BATCH * HEADS, queries, SOURCES)


SELF_MASK, CROSS_MASK = padding(SOURCES), padding(TARGETS)
CAUSAL_MASK = torch.full((TARGETS, TARGETS), -math.inf).triu(1).expand(BATCH * HEADS, TARGETS, TARGETS)


def norm(x, name):
    return F.layer_norm(x, (WIDTH,), P[f'{name}.weight'], P[f'{name}.bias'], 1e-5)


def dense(x, name):
    return F.linear(x, P[f'{name}.weight'], P[f'{name}.bias'])


def heads(x):
    return x.view(BATCH, -1, HEADS, SIZE).transpose(1, 2).reshape(BATCH * HEADS, -1, SIZE)


def attention(x, source, name, mask):
    """The scale and the mask ride in the product."""
    query, key, value = heads(dense(x, f'{name}.query')), *(heads(dense(source, f'{name}.{n}')) for n in NAMES[1:3])
    scores = torch.baddbmm(mask, query, key.transpose(1, 2), alpha=1 / math.sqrt(SIZE))
    mixed = torch.bmm(torch.softmax(scores, -1), value)
    return dense(mixed.view(BATCH, HEADS, -1, SIZE).transpose(1, 2).reshape(x.shape), f'{name}.out')


def feed_forward(x, name):
    hidden = F.gelu(dense(norm(x, f'{name}.norm'), f'{name}.up'), approximate='tanh')
    return x + dense(hidden, f'{name}.down')


def loss_of():
    source = (F.embedding(IDS, P['embedding']) + P['sources']).view(BATCH * SOURCES, WIDTH)
    for layer in range(LAYERS):
        at = f'encoder.{layer}'
        normal = norm(source, f'{at}.self.norm')
        source = source + attention(normal, normal, f'{at}.self', SELF_MASK)
        source = feed_forward(source, f'{at}.mlp')
    source = norm(source, 'encoder.norm')
    x = (F.embedding(INPUTS, P['embedding']) + P['targets']).view(BATCH * TARGETS, WIDTH)
    for layer in range(LAYERS):
        at = f'decoder.{layer}'
        normal = norm(x, f'{at}.self.norm')
        x = x + attention(normal, normal, f'{at}.self', CAUSAL_MASK)
        x = x + attention(norm(x, f'{at}.cross.norm'), source, f'{at}.cross', CROSS_MASK)
        x = feed_forward(x, f'{at}.mlp')
    logits = F.linear(norm(x, 'decoder.norm'), P['embedding'])
    return F.cross_entropy(logits, GOALS.reshape(-1))


steps.serve(P.values(), loss_of)
