/** The smallest corpus that language models are shown with. */

import { type DataSet, filesOf } from '../data-set.js';

export const TINYSHAKESPEARE: DataSet = {
  name: 'tinyshakespeare',
  about: '1.1 MB of plays of Shakespeare, the speakers named before their lines',
  licence: 'none stated by the repository; the plays are in the public domain',
  files: filesOf('karpathy/char-rnn', 'data/tinyshakespeare', [
    ['input.txt', 1115394, '86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed'],
  ]),
};
