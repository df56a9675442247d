/** Unicode's normalization forms (UAX #15), by the engine's Unicode. */

/** A normalization form. */
export type NormalizationForm = 'NFC' | 'NFD' | 'NFKC' | 'NFKD';

/** All of them. */
export const NORMALIZATION_FORMS: readonly NormalizationForm[] = ['NFC', 'NFD', 'NFKC', 'NFKD'];

/** The forms that a text is in; ASCII is in all four. */
export function normalizationForms(text: string): NormalizationForm[] {
  return NORMALIZATION_FORMS.filter((form) => isNormalized(text, form));
}

/** Whether normalizing would change nothing. */
export function isNormalized(text: string, form: NormalizationForm): boolean {
  return text.normalize(form) === text;
}
