"""PyTorch's gradients, losses and logits of GPT-2-style and Llama-style decoders, to compare an engine with.

    torch_parity.py OPTIONS.json [--float64] [--logits]

OPTIONS.json (paths are relative to it):
  style          "gpt2" or "llama"
  layers, heads  and for llama keyValueHeads (default: heads), theta (default 10000)
  eps            of the norms (default 1e-5 for gpt2, 1e-6 for llama)
  parameters     a safetensors file with Hugging Face's tensor names; lm_head.weight only where the head is not tied
  batches        a safetensors file with int64 ids `batches` [steps, batch, length + 1]
  schedule       one learning rate a step (its length is the number of steps trained; none: gradients only)
  betas, optimizerEps, weightDecay, clip      AdamW (default 0.9 0.95, 1e-8, 0.1) and the global norm (default 1; 0: none)
  gradients      where step 0's gradients go (before clipping), as safetensors with the parameters' names
  losses         where {"losses": [...], "norms": [...]} goes, as JSON
  logits         with --logits: where the forward pass's `logits` [batch, length, vocabulary] go, as safetensors
  ids            with --logits: a safetensors file with int64 `ids` [batch, length]

Tensors of rank two and more decay, embeddings among them; norms and biases do not. A loss is the mean over all
positions before the update. With --float64 all of it is computed in float64 (and written so), as a reference.
Prints one line of JSON: the version, the loss at step 0, the number of steps.
"""

import json
import math
import os
import sys

import torch
import torch.nn.functional as F

import safetensors_file


def causal(length, like):
    return torch.full((length, length), -math.inf, dtype=like.dtype).triu(1)


def attend(query, key, value):
    """Causal attention over [batch, heads, length, size]; key and value may have fewer heads."""
    group = query.shape[1] // key.shape[1]
    if group > 1:
        key = key.repeat_interleave(group, dim=1)
        value = value.repeat_interleave(group, dim=1)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1]) + causal(query.shape[-2], query)
    mixed = torch.softmax(scores, dim=-1) @ value
    return mixed.transpose(1, 2).flatten(2)


def heads_of(states, heads):
    batch, length, width = states.shape
    return states.view(batch, length, heads, width // heads).transpose(1, 2)


def gpt2(p, ids, o):
    """Pre-norm decoder with learned positions and tanh GELU (Radford et al., 2019); Conv1D weights are [in, out]."""

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], p[f'{name}.weight'], p[f'{name}.bias'], o.get('eps', 1e-5))

    def dense(x, name):
        return x @ p[f'{name}.weight'] + p[f'{name}.bias']

    x = p['transformer.wte.weight'][ids] + p['transformer.wpe.weight'][: ids.shape[1]]
    for layer in range(o['layers']):
        at = f'transformer.h.{layer}'
        qkv = dense(norm(x, f'{at}.ln_1'), f'{at}.attn.c_attn').chunk(3, dim=-1)
        x = x + dense(attend(*(heads_of(part, o['heads']) for part in qkv)), f'{at}.attn.c_proj')
        hidden = F.gelu(dense(norm(x, f'{at}.ln_2'), f'{at}.mlp.c_fc'), approximate='tanh')
        x = x + dense(hidden, f'{at}.mlp.c_proj')
    return norm(x, 'transformer.ln_f') @ p.get('lm_head.weight', p['transformer.wte.weight']).t()


def llama(p, ids, o):
    """Pre-norm decoder with rmsNorm, rotate-half rotary positions, grouped queries and SwiGLU (Touvron et al., 2023)."""

    def norm(x, name):
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + o.get('eps', 1e-6))
        return p[f'{name}.weight'] * (x * scale)

    def dense(x, name):
        y = x @ p[f'{name}.weight'].t()
        return y + p[f'{name}.bias'] if f'{name}.bias' in p else y

    x = p['model.embed_tokens.weight'][ids]
    size = p['model.layers.0.self_attn.q_proj.weight'].shape[0] // o['heads']
    # The angles in float64, as exact as they can be; rounded with the rest.
    rates = o.get('theta', 10000.0) ** -(torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = torch.outer(torch.arange(ids.shape[1], dtype=torch.float64), rates)
    angles = torch.cat((angles, angles), dim=-1)
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)

    def rotate(states):
        first, second = states.chunk(2, dim=-1)
        return states * cosine + torch.cat((-second, first), dim=-1) * sine

    groups = o.get('keyValueHeads', o['heads'])
    for layer in range(o['layers']):
        at = f'model.layers.{layer}'
        h = norm(x, f'{at}.input_layernorm')
        query = rotate(heads_of(dense(h, f'{at}.self_attn.q_proj'), o['heads']))
        key = rotate(heads_of(dense(h, f'{at}.self_attn.k_proj'), groups))
        value = heads_of(dense(h, f'{at}.self_attn.v_proj'), groups)
        x = x + dense(attend(query, key, value), f'{at}.self_attn.o_proj')
        h = norm(x, f'{at}.post_attention_layernorm')
        x = x + dense(F.silu(dense(h, f'{at}.mlp.gate_proj')) * dense(h, f'{at}.mlp.up_proj'), f'{at}.mlp.down_proj')
    return norm(x, 'model.norm') @ p.get('lm_head.weight', p['model.embed_tokens.weight']).t()


def main():
    flags = {argument for argument in sys.argv[1:] if argument.startswith('--')}
    (options_path,) = (argument for argument in sys.argv[1:] if not argument.startswith('--'))
    with open(options_path) as file:
        o = json.load(file)

    def path(name):
        return os.path.join(os.path.dirname(os.path.abspath(options_path)), o[name])

    torch.set_num_threads(o.get('threads', 2))
    kind = torch.float64 if '--float64' in flags else torch.float32
    # attn.bias and attn.masked_bias are buffers of old GPT-2 files, not parameters.
    p = {
        name: torch.from_numpy(array).to(kind).requires_grad_()
        for name, array in safetensors_file.read(path('parameters')).items()
        if not name.endswith(('.attn.bias', '.attn.masked_bias', 'rotary_emb.inv_freq'))
    }
    model = {'gpt2': gpt2, 'llama': llama}[o['style']]

    if '--logits' in flags:
        with torch.no_grad():
            logits = model(p, torch.from_numpy(safetensors_file.read(path('ids'))['ids']).long(), o)
        safetensors_file.write(path('logits'), {'logits': logits.numpy()})
        print(json.dumps({'version': torch.__version__, 'shape': list(logits.shape)}))
        return

    batches = torch.from_numpy(safetensors_file.read(path('batches'))['batches']).long()
    groups = [
        {'params': [t for t in p.values() if t.dim() >= 2], 'weight_decay': o.get('weightDecay', 0.1)},
        {'params': [t for t in p.values() if t.dim() < 2], 'weight_decay': 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=0.0, betas=tuple(o.get('betas', (0.9, 0.95))), eps=o.get('optimizerEps', 1e-8)
    )

    schedule = o.get('schedule', [])
    losses, norms = [], []
    for step in range(max(1, len(schedule))):
        ids = batches[step % len(batches)]
        logits = model(p, ids[:, :-1], o)
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if step == 0 and 'gradients' in o:
            safetensors_file.write(path('gradients'), {name: t.grad.numpy() for name, t in p.items()})
        norms.append(torch.stack([t.grad.norm() for t in p.values()]).norm().item())
        losses.append(loss.item())
        if schedule:
            if o.get('clip', 1.0) > 0:
                torch.nn.utils.clip_grad_norm_(p.values(), o.get('clip', 1.0))
            for group in optimizer.param_groups:
                group['lr'] = schedule[step]
            optimizer.step()
    if 'losses' in o:
        with open(path('losses'), 'w') as file:
            json.dump({'version': torch.__version__, 'losses': losses, 'norms': norms}, file)
    print(json.dumps({'version': torch.__version__, 'loss': losses[0], 'steps': len(losses)}))


main()
