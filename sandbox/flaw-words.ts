import type { Flaw, FlawKind } from './flaw';
import type { Language } from './language';

/** What each kind of flaw means, in a sentence; `{field}` is the parameter. */
export const FLAW_WORDS: Record<Language, Record<FlawKind, string>> = {
  en: {
    'too-large': 'The request is larger than 1 MB: it was not read.',
    missing: '{field} is missing.',
    invalid: '{field} is not valid.',
    other: '{field} is not the one of this sandbox.',
    clock: '{field} is too far from the current time in Beijing.',
    'not-json': '{field} is not a JSON object.',
    refused: "The trade's state does not allow it.",
    changed: '{field} was changed after signing.',
    unsigned: '{field} is sent but not part of the signed text: sign every parameter except sign.',
    encoding: '{field} was signed in a different form than it was sent in.',
    empty: '{field} is empty and was signed: leave empty parameters out of the signed text.',
    order: 'The parameters were not sorted by name before signing.',
    charset: 'The text was signed in a different encoding than {field} says.',
    'sign-type': '{field} does not fit the signature.',
    plus: 'Each + in {field} arrived as a space: percent-encode the signature.',
    altered:
      'The key is right, but a different text was signed: something was changed, added or left out after signing.',
    key: 'The signature was made with a different private key, or is not a signature at all.',
  },
  zh: {
    'too-large': '请求超过 1 MB，未被读取。',
    missing: '缺少参数 {field}。',
    invalid: '参数 {field} 无效。',
    other: '{field} 与本沙箱的不一致。',
    clock: '{field} 与当前北京时间相差过大。',
    'not-json': '{field} 不是 JSON 对象。',
    refused: '交易的当前状态不允许此操作。',
    changed: '{field} 在签名之后被改动。',
    unsigned: '{field} 已发送但未参与签名：除 sign 外的所有参数都要签名。',
    encoding: '{field} 签名时的写法与发送时的不同。',
    empty: '{field} 为空却参与了签名：空参数不应参与签名。',
    order: '签名前参数没有按名称排序。',
    charset: '签名所用的字节与 {field} 指明的编码不同。',
    'sign-type': '{field} 与签名不符。',
    plus: '{field} 中的 + 变成了空格：签名需要做 URL 编码。',
    altered: '密钥正确，但签名的是另一段文本：签名之后有参数被改动、增加或删除。',
    key: '签名使用了另一把私钥，或者根本不是签名。',
  },
};

/** The words around what a flaw expected and got. */
export const FLAW_LABELS: Record<Language, { expected: string; got: string; values: string }> = {
  en: { expected: 'Expected', got: 'Got', values: 'The parameters' },
  zh: { expected: '应为', got: '实为', values: '参数值' },
};

/** A flaw as a sentence. */
export function flawSentence({ kind, field }: Flaw, language: Language): string {
  return FLAW_WORDS[language][kind].replace('{field}', field ?? FLAW_LABELS[language].values);
}
