/**
 * The tensors of adapters as PEFT saves them (huggingface/peft: docs/source/developer_guides/checkpoint.md, and
 * `LoraLayer.update_layer` in src/peft/tuners/lora/layer.py, whose A and B are linear layers for `Linear` and for GPT-2's
 * `Conv1D` alike), for the models that the test beside it makes: width 32, hidden 48, one layer; llama with four heads of
 * 8, two of keys and values; adapters of rank 4. Sorted by name.
 */

export type Layout = readonly (readonly [name: string, shape: readonly number[]])[];

/** A Llama's usual targets, q_proj and v_proj. */
export const LLAMA: Layout = [
  ['base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight', [4, 32]],
  ['base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight', [32, 4]],
  ['base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight', [4, 32]],
  ['base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight', [16, 4]],
];

/** All linear layers of a Llama but its head, with DoRA. */
export const LLAMA_ALL: Layout = [
  ['base_model.model.model.layers.0.mlp.down_proj.lora_A.weight', [4, 48]],
  ['base_model.model.model.layers.0.mlp.down_proj.lora_B.weight', [32, 4]],
  ['base_model.model.model.layers.0.mlp.down_proj.lora_magnitude_vector', [32]],
  ['base_model.model.model.layers.0.mlp.gate_proj.lora_A.weight', [4, 32]],
  ['base_model.model.model.layers.0.mlp.gate_proj.lora_B.weight', [48, 4]],
  ['base_model.model.model.layers.0.mlp.gate_proj.lora_magnitude_vector', [48]],
  ['base_model.model.model.layers.0.mlp.up_proj.lora_A.weight', [4, 32]],
  ['base_model.model.model.layers.0.mlp.up_proj.lora_B.weight', [48, 4]],
  ['base_model.model.model.layers.0.mlp.up_proj.lora_magnitude_vector', [48]],
  ['base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight', [4, 32]],
  ['base_model.model.model.layers.0.self_attn.k_proj.lora_B.weight', [16, 4]],
  ['base_model.model.model.layers.0.self_attn.k_proj.lora_magnitude_vector', [16]],
  ['base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight', [4, 32]],
  ['base_model.model.model.layers.0.self_attn.o_proj.lora_B.weight', [32, 4]],
  ['base_model.model.model.layers.0.self_attn.o_proj.lora_magnitude_vector', [32]],
  ['base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight', [4, 32]],
  ['base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight', [32, 4]],
  ['base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector', [32]],
  ['base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight', [4, 32]],
  ['base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight', [16, 4]],
  ['base_model.model.model.layers.0.self_attn.v_proj.lora_magnitude_vector', [16]],
];

/** GPT-2's usual target, c_attn: one A for query, key and value. */
export const GPT2: Layout = [
  ['base_model.model.transformer.h.0.attn.c_attn.lora_A.weight', [4, 32]],
  ['base_model.model.transformer.h.0.attn.c_attn.lora_B.weight', [96, 4]],
];

/** All linear layers of a GPT-2. */
export const GPT2_ALL: Layout = [
  ['base_model.model.transformer.h.0.attn.c_attn.lora_A.weight', [4, 32]],
  ['base_model.model.transformer.h.0.attn.c_attn.lora_B.weight', [96, 4]],
  ['base_model.model.transformer.h.0.attn.c_proj.lora_A.weight', [4, 32]],
  ['base_model.model.transformer.h.0.attn.c_proj.lora_B.weight', [32, 4]],
  ['base_model.model.transformer.h.0.mlp.c_fc.lora_A.weight', [4, 32]],
  ['base_model.model.transformer.h.0.mlp.c_fc.lora_B.weight', [48, 4]],
  ['base_model.model.transformer.h.0.mlp.c_proj.lora_A.weight', [4, 48]],
  ['base_model.model.transformer.h.0.mlp.c_proj.lora_B.weight', [32, 4]],
];
