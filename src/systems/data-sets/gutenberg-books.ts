/** Six books of Project Gutenberg, with its headers and footers, which must be cut before training. */

import type { DataFile, DataSet } from '../data-set.js';

export const GUTENBERG_BOOKS: DataSet = {
  name: 'gutenberg-books',
  about: 'six books of Project Gutenberg as published, with its header and footer, CRLF line ends',
  licence: 'Project Gutenberg License; the texts are in the public domain in the USA',
  files: [
    book(
      'alice-11.txt',
      'Alice-s-Adventures-in-Wonderland_11',
      '11-0.txt',
      173595,
      '49a0b2726606e1290ac03a63978fa1dd1bd38a8d805704d98265f393533ea094',
    ),
    book(
      'devils-dictionary-972.txt',
      'The-Devil-s-Dictionary_972',
      '972.txt',
      394044,
      'f61a70f08650fd2b87101cb276b4d6cf12c4714d4bbd0a8a45a27501ffc8fea3',
    ),
    book(
      'moby-dick-2701.txt',
      'Moby-Dick--Or-The-Whale_2701',
      '2701-0.txt',
      1276201,
      'baf9b04fcf6e0008f30eaaa6697277751448c1070b20175e0082f28cbb161fd3',
    ),
    book(
      'pride-and-prejudice-1342.txt',
      'Pride-and-Prejudice_1342',
      '1342-0.txt',
      724725,
      '48e0522844402a86a3ea98f0947ba85ea54838db3c59022299298ed968a5a163',
    ),
    book(
      'sherlock-holmes-1661.txt',
      'The-Adventures-of-Sherlock-Holmes_1661',
      '1661.txt',
      594941,
      '2a0ce5568625a304f54fbb6bfdeeadf527a1437254b5f0e06b5a9e233d4784a2',
    ),
    book(
      'war-and-peace-2600.txt',
      'War-and-Peace_2600',
      '2600-0.txt',
      3359542,
      '6cbcc5ca5e590fb9ace161a5b93e4ecf280d7118104be0d63b686c004cfa70ae',
    ),
  ],
};

function book(name: string, repository: string, path: string, bytes: number, sha256: string): DataFile {
  return { name, repository: `GITenberg/${repository}`, path, bytes, sha256 };
}
