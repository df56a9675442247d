"""What PyTorch's training steps have in common when they are a benchmark's peers: settings, the loop, and the answers.

A peer's options are one JSON argument: sizes, and threads (2), seed, rate (1e-3), weightDecay (0.1), clip (1), tuning:
  "tuned" (the default)  the process starts itself again with what makes PyTorch fast on this kind of machine: memory
                         kept by the allocator instead of returned to the system after every operation, OpenMP threads
                         that do not spin while OpenBLAS's work, and AVX-512 kernels where the processor has them
  "plain"                PyTorch as a person's script finds it

It says {"ready": true, ...} first; {"steps": n} is answered by {"milliseconds": [...], "losses": [...]}; it ends at the
end of its input. A step is forward, backward, clipping by the global norm and AdamW, to the loss as a number.
"""

import json
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

torch.set_num_threads(OPTIONS.get('threads', 2))
torch.manual_seed(OPTIONS.get('seed', 0))


def product_error():
    """The largest relative error of a float32 product against float64: some OpenBLAS kernels have been wrong."""
    left, right = torch.randn(384, 512), torch.randn(512, 256)
    exact = left.double() @ right.double()
    return ((left @ right).double() - exact).abs().max().item() / exact.abs().max().item()


def ids(batch, length, vocabulary, start):
    """Token ids with some structure, the same in every engine."""
    places = torch.arange(start, start + batch * length, dtype=torch.float64)
    return (vocabulary * torch.sin(places * places).abs()).floor().long().view(batch, length)


def trainer(tensors, loss_of):
    """A function that makes one update and gives the loss."""
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
    clip = OPTIONS.get('clip', 1.0)

    def step():
        loss = loss_of()
        loss.backward()
        gradients = [t.grad for t in tensors]
        norm = torch.stack(torch._foreach_norm(gradients)).norm().item()
        if norm > clip:
            torch._foreach_mul_(gradients, clip / (norm + 1e-6))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


def timed(step, steps):
    milliseconds, losses = [], []
    for _ in range(steps):
        start = time.perf_counter()
        losses.append(step())
        milliseconds.append((time.perf_counter() - start) * 1000)
    return milliseconds, losses


def serve(tensors, loss_of, note=''):
    """Answers questions until the input ends."""
    error = product_error()
    if not error < 1e-5:
        print(json.dumps({'ready': False, 'note': f'float32 products are wrong here: relative error {error:.1e}'}))
        return
    step = trainer(list(tensors), loss_of)
    capability = os.environ.get('ATEN_CPU_CAPABILITY', '')
    blas = [f'{name}={os.environ[name]}' for name in ('OPENBLAS_CORETYPE', 'OPENBLAS_L2_SIZE') if name in os.environ]
    words = ['tuned' if TUNED else 'plain', capability, *blas, note, f'product error {error:.0e}']
    ready = {'ready': True, 'version': torch.__version__, 'threads': torch.get_num_threads()}
    print(json.dumps({**ready, 'note': ' '.join(filter(None, words))}), flush=True)
    for line in sys.stdin:
        milliseconds, losses = timed(step, json.loads(line)['steps'])
        print(json.dumps({'milliseconds': milliseconds, 'losses': losses}), flush=True)
