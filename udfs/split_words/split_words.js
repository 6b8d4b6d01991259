export function* split_words(text) {
  if (text === null) return;
  let position = 0;
  for (const [word] of text.matchAll(/[\p{L}\p{N}]+/gu)) {
    yield { word: word.toLowerCase(), position: ++position };
  }
}
