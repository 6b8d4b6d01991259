/* The first letter of an address, and what follows the '@'. */
#include "affluent.h"

AFFLUENT(mask) {
  affluent_column address = affluent_texts(&call);
  affluent_result result = affluent_returns_texts(&call);
  for (unsigned row = 0; row < call.rows; row++) {
    if (affluent_is_null(&address, row)) {
      affluent_put_null(&result, row);
      continue;
    }
    affluent_text text = affluent_string(&address, row);
    unsigned at = 0;
    while (at < text.length && text.at[at] != '@') at++;
    affluent_put_text(&result, row, text.at, at > 0 && at < text.length);
    affluent_put_text(&result, row, "***", 3);
    affluent_put_text(&result, row, text.at + at, text.length - at);
  }
  return affluent_answer(&result);
}
