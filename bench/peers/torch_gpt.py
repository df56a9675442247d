"""A GPT-2-style training step on PyTorch, as a benchmark's peer: one JSON line in, one out.

    torch_gpt.py '{"layers": 4, "width": 128, "heads": 4, "vocabulary": 512, "batch": 16, "length": 128}'

More options: eps (1e-5), rate (1e-3), weightDecay (0.1), clip (1), threads (2), seed, and tuning:
  "tuned" (the default)  the process starts itself again with what makes PyTorch fast on this kind of machine: memory
                         kept by the allocator instead of returned to the system after every operation, OpenMP threads
                         that do not spin while OpenBLAS's work, and AVX-512 kernels where the processor has them
  "plain"                PyTorch as a person's script finds it
  initial, batches       safetensors files as torch_parity.py reads them: the same start and data as another engine

It says {"ready": true, ...} first; {"steps": n} is answered by {"milliseconds": [...], "losses": [...]}; it ends at the
end of its input. A step is forward, backward, clipping by the global norm and AdamW, to the loss as a number.
"""

import json
import math
import os
import sys
import time

OPTIONS = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
TUNED = OPTIONS.get('tuning', 'tuned') == 'tuned'


def restart_tuned():
    """Settings that are read when a process starts."""
    settings = {
        'GOMP_SPINCOUNT': '0',
        'GLIBC_TUNABLES': 'glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184',
        'TESSERA_PEER_TUNED': '1',
    }
    try:
        with open('/proc/cpuinfo') as file:
            if 'avx512dq' in file.read():
                settings['ATEN_CPU_CAPABILITY'] = 'avx512'
    except OSError:
        pass
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **settings})


if TUNED and os.environ.get('TESSERA_PEER_TUNED') != '1':
    restart_tuned()

import torch
import torch.nn.functional as F

LAYERS = OPTIONS.get('layers', 4)
WIDTH = OPTIONS.get('width', 128)
HEADS = OPTIONS.get('heads', 4)
VOCABULARY = OPTIONS.get('vocabulary', 512)
BATCH = OPTIONS.get('batch', 16)
LENGTH = OPTIONS.get('length', 128)
EPS = OPTIONS.get('eps', 1e-5)
CLIP = OPTIONS.get('clip', 1.0)
SIZE = WIDTH // HEADS
ROWS = BATCH * LENGTH


def initial_parameters():
    """By Hugging Face's names; linear weights as [out, in], the layout PyTorch's own Linear has."""
    torch.manual_seed(OPTIONS.get('seed', 0))
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


def product_error():
    """The largest relative error of a float32 product against float64: some OpenBLAS kernels have been wrong."""
    left, right = torch.randn(384, 512), torch.randn(512, 256)
    exact = left.double() @ right.double()
    return ((left @ right).double() - exact).abs().max().item() / exact.abs().max().item()


def main():
    torch.set_num_threads(OPTIONS.get('threads', 2))
    error = product_error()
    if not error < 1e-5:
        print(json.dumps({'ready': False, 'note': f'float32 products are wrong here: relative error {error:.1e}'}))
        return
    p = initial_parameters()
    tensors = list(p.values())
    optimizer = torch.optim.AdamW(
        [
            {'params': [t for t in tensors if t.dim() >= 2], 'weight_decay': OPTIONS.get('weightDecay', 0.1)},
            {'params': [t for t in tensors if t.dim() < 2], 'weight_decay': 0.0},
        ],
        lr=OPTIONS.get('rate', 1e-3),
        betas=(0.9, 0.95),
        eps=1e-8,
        foreach=True,
    )
    batches = batches_of()
    done = 0

    def step(batch):
        loss = loss_of(p, batch[:, :-1], batch[:, 1:])
        loss.backward()
        gradients = [t.grad for t in tensors]
        norm = torch.stack(torch._foreach_norm(gradients)).norm().item()
        if norm > CLIP:
            torch._foreach_mul_(gradients, CLIP / (norm + 1e-6))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    blas = [f'{name}={os.environ[name]}' for name in ('OPENBLAS_CORETYPE', 'OPENBLAS_L2_SIZE') if name in os.environ]
    settings = [os.environ.get('ATEN_CPU_CAPABILITY', ''), *blas]
    note = ' '.join(['tuned' if TUNED else 'plain', *filter(None, settings), f'product error {error:.0e}'])
    ready = {'ready': True, 'version': torch.__version__, 'threads': torch.get_num_threads(), 'note': note}
    print(json.dumps(ready), flush=True)
    for line in sys.stdin:
        milliseconds, losses = [], []
        for _ in range(json.loads(line)['steps']):
            start = time.perf_counter()
            losses.append(step(batches[done % len(batches)]))
            milliseconds.append((time.perf_counter() - start) * 1000)
            done += 1
        print(json.dumps({'milliseconds': milliseconds, 'losses': losses}), flush=True)


main()
