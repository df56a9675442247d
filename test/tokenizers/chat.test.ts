import { applyChatTemplate } from 'tessera-kit/tokenizers';
import { describe, expect, it } from 'vitest';

const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const messages = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Hello' },
];

describe('a chat template', () => {
  it('turns messages into text', () => {
    expect(applyChatTemplate({ chat_template: CHATML }, messages, { addGenerationPrompt: true })).toBe(
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n',
    );
    expect(applyChatTemplate({ chat_template: CHATML }, messages.slice(1))).toBe('<|im_start|>user\nHello<|im_end|>\n');
  });

  it('knows the special tokens of the configuration, tools and variables', () => {
    const chat_template =
      '{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ tools[0].name if tools }}{{ mood }}';
    const config = { chat_template, bos_token: '<s>', eos_token: { content: '</s>' } };
    expect(
      applyChatTemplate(config, [{ role: 'user', content: 'x' }], { tools: [{ name: 'f' }], variables: { mood: '!' } }),
    ).toBe('<s>x</s>f!');
  });

  it('is chosen by name, or by there being tools', () => {
    const config = {
      chat_template: [
        { name: 'default', template: 'plain' },
        { name: 'tool_use', template: 'tools' },
        { name: 'rag', template: 'documents {{ documents[0].title }}' },
      ],
    };
    expect(applyChatTemplate(config, [])).toBe('plain');
    expect(applyChatTemplate(config, [], { tools: [{}] })).toBe('tools');
    expect(applyChatTemplate(config, [], { name: 'rag', documents: [{ title: 'A' }] })).toBe('documents A');
    expect(() => applyChatTemplate(config, [], { name: 'other' })).toThrow('no chat template called "other"');
  });

  it.each([
    ['none', {}, 'has no chat template'],
    ['one that is no Jinja', { chat_template: '{% for x %}' }, 'The chat template cannot be read'],
    [
      'one that refuses the messages',
      { chat_template: "{{ raise_exception('roles must alternate') }}" },
      'The chat template refuses the messages: roles must alternate',
    ],
  ])('is refused in a sentence: %s', (_what, config, sentence) => {
    expect(() => applyChatTemplate(config, messages)).toThrow(sentence);
  });
});
