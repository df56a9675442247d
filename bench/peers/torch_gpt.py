"""A GPT-2-style training step on PyTorch, as a benchmark's peer; see torch_steps.py.

    torch_gpt.py '{"layers": 4, "width": 128, "heads": 4, "vocabulary": 512, "batch": 16, "length": 128}'

Beside the options of torch_steps.py: eps (1e-5), and
  initial, batches       safetensors files as torch_parity.py reads them: the same start and data as another engine
"""

import math

import torch_steps as steps

import torch
import torch.nn.functional as F

OPTIONS = steps.OPTIONS
LAYERS = OPTIONS.get('layers', 4)
WIDTH = OPTIONS.get('width', 128)
HEADS = OPTIONS.get('heads', 4)
VOCABULARY = OPTIONS.get('vocabulary', 512)
BATCH = OPTIONS.get('batch', 16)
LENGTH = OPTIONS.get('length', 128)
EPS = OPTIONS.get('eps', 1e-5)
SIZE = WIDTH // HEADS
ROWS = BATCH * LENGTH


def initial_parameters():
    """By Hugging Face's names; linear weights as [out, in], the layout PyTorch's own Linear has."""
    linears = {'attn.c_attn': (WIDTH, 3 * WIDTH), 'attn.c_proj': (WIDTH, WIDTH)}
    linears |= {'mlp.c_fc': (WIDTH, 4 * WIDTH), 'mlp.c_proj': (4 * WIDTH, WIDTH)}
    p = {
        'transformer.wte.weight': torch.randn(VOCABULARY, WIDTH) * 0.02,
        'transformer.wpe.weight': torch.randn(LENGTH, WIDTH) * 0.02,
    }
    norms = ['transformer.ln_f']
    for layer in range(LAYERS):
        at = f'transformer.h.{layer}'
        norms += [f'{at}.ln_1', f'{at}.ln_2']
        for name, (inputs, outputs) in linears.items():
            residual = math.sqrt(2 * LAYERS) if name.endswith('c_proj') else 1
            p[f'{at}.{name}.weight'] = torch.randn(outputs, inputs) * (0.02 / residual)
            p[f'{at}.{name}.bias'] = torch.zeros(outputs)
    for name in norms:
        p[f'{name}.weight'] = torch.ones(WIDTH)
        p[f'{name}.bias'] = torch.zeros(WIDTH)
    if 'initial' in OPTIONS:
        import safetensors_file

        for name, array in safetensors_file.read(OPTIONS['initial']).items():
            tensor = torch.from_numpy(array)
            stored_in_out = tensor.dim() == 2 and '.h.' in name
            p[name] = tensor.t().contiguous() if stored_in_out else tensor
    return {name: torch.nn.Parameter(tensor) for name, tensor in p.items()}


MASK = torch.full((LENGTH, LENGTH), -math.inf).triu(1).expand(BATCH * HEADS, LENGTH, LENGTH)


def attend(qkv):
    """One copy puts the heads of all three parts in order; the scale and the mask ride in the product."""
    parts = qkv.view(BATCH, LENGTH, 3, HEADS, SIZE).permute(2, 0, 3, 1, 4).reshape(3, BATCH * HEADS, LENGTH, SIZE)
    query, key, value = parts.unbind(0)
    scores = torch.baddbmm(MASK, query, key.transpose(1, 2), alpha=1 / math.sqrt(SIZE))
    mixed = torch.bmm(torch.softmax(scores, -1), value)
    return mixed.view(BATCH, HEADS, LENGTH, SIZE).transpose(1, 2).reshape(ROWS, WIDTH)


def loss_of(p, ids, targets):
    def norm(x, name):
        return F.layer_norm(x, (WIDTH,), p[f'{name}.weight'], p[f'{name}.bias'], EPS)

    def dense(x, name):
        return F.linear(x, p[f'{name}.weight'], p[f'{name}.bias'])

    x = (F.embedding(ids, p['transformer.wte.weight']) + p['transformer.wpe.weight']).view(ROWS, WIDTH)
    for layer in range(LAYERS):
        at = f'transformer.h.{layer}'
        x = x + dense(attend(dense(norm(x, f'{at}.ln_1'), f'{at}.attn.c_attn')), f'{at}.attn.c_proj')
        hidden = F.gelu(dense(norm(x, f'{at}.ln_2'), f'{at}.mlp.c_fc'), approximate='tanh')
        x = x + dense(hidden, f'{at}.mlp.c_proj')
    logits = F.linear(norm(x, 'transformer.ln_f'), p['transformer.wte.weight'])
    return F.cross_entropy(logits, targets.reshape(-1))


def batches_of():
    """Rows of n -> 5 n + 3 with a stray id now and then: something to learn, the same in every peer."""
    if 'batches' in OPTIONS:
        import safetensors_file

        return list(torch.from_numpy(safetensors_file.read(OPTIONS['batches'])['batches']).long())
    state = 1
    batches = []
    for _ in range(8):
        rows = []
        for _ in range(BATCH):
            row = []
            for _ in range(LENGTH + 1):
                state = (state * 1103515245 + 12345) % 2147483648
                stray = not row or (state >> 16) % 10 == 0
                row.append((state >> 8) % VOCABULARY if stray else (5 * row[-1] + 3) % VOCABULARY)
            rows.append(row)
        batches.append(torch.tensor(rows))
    return batches


batches = batches_of()
parameters = initial_parameters()
done = 0


def next_loss():
    global done
    batch = batches[done % len(batches)]
    done += 1
    return loss_of(parameters, batch[:, :-1], batch[:, 1:])


steps.serve(parameters.values(), next_loss)
