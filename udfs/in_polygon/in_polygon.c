/* Whether a place lies in a polygon, given as the text of a WKT POLYGON: 'POLYGON ((30 10, 40 40, 20 40, 30 10))'.
 * Further rings are holes. The rule is the even-odd rule (M. Shimrat, Algorithm 112, CACM 1962).
 */
#include "affluent.h"

/* A reader of the text. */
typedef struct { const affluent_byte *at, *end; } reader;

static void spaces(reader *r) {
  while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}

static int takes(reader *r, char sign) {
  spaces(r);
  if (r->at == r->end || *r->at != (affluent_byte)sign) return 0;
  r->at++;
  return 1;
}

static int word(reader *r, const char *word) {
  spaces(r);
  const affluent_byte *at = r->at;
  for (; *word; word++, at++)
    if (at == r->end || (*at | 32) != (affluent_byte)(*word | 32)) return 0;
  r->at = at;
  return 1;
}

static int number(reader *r, double *number) {
  spaces(r);
  double sign = 1, value = 0, unit = 1;
  int digits = 0, exponent = 0, negative = 0;
  if (r->at < r->end && (*r->at == '-' || *r->at == '+')) sign = *r->at++ == '-' ? -1 : 1;
  for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++, digits++) value = value * 10 + (*r->at - '0');
  if (r->at < r->end && *r->at == '.')
    for (r->at++; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++, digits++)
      value = value * 10 + (*r->at - '0'), unit *= 10;
  if (!digits) return 0;
  if (r->at < r->end && (*r->at | 32) == 'e') {
    r->at++;
    if (r->at < r->end && (*r->at == '-' || *r->at == '+')) negative = *r->at++ == '-';
    if (r->at == r->end || *r->at < '0' || *r->at > '9') return 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
      if (exponent < 400) exponent = exponent * 10 + (*r->at - '0');
    while (exponent-- > 0) negative ? (unit *= 10) : (value *= 10);
  }
  *number = sign * value / unit;
  return 1;
}

/* 1 inside, 0 outside, or what is wrong with the text. */
static const char *inside(affluent_text wkt, double x, double y, int *is_inside) {
  reader r = {wkt.at, wkt.at + wkt.length};
  *is_inside = 0;
  if (!word(&r, "polygon")) return "the text is no POLYGON";
  if (word(&r, "empty")) return 0;
  if (!takes(&r, '(')) return "'(' is missing after POLYGON";
  do {
    double first_x, first_y, last_x, last_y, next_x, next_y;
    int points = 1;
    if (!takes(&r, '(')) return "'(' is missing before a ring";
    if (!number(&r, &first_x) || !number(&r, &first_y)) return "a number is missing";
    last_x = first_x, last_y = first_y;
    while (takes(&r, ',')) {
      if (!number(&r, &next_x) || !number(&r, &next_y)) return "a number is missing";
      if ((last_y > y) != (next_y > y) && x < (next_x - last_x) * (y - last_y) / (next_y - last_y) + last_x)
        *is_inside = !*is_inside;
      last_x = next_x, last_y = next_y, points++;
    }
    if (!takes(&r, ')')) return "')' is missing after a ring";
    if (points < 4 || last_x != first_x || last_y != first_y) return "a ring does not end where it begins";
  } while (takes(&r, ','));
  if (!takes(&r, ')')) return "')' is missing at the end";
  spaces(&r);
  return r.at == r.end ? 0 : "something follows the polygon";
}

AFFLUENT(in_polygon) {
  affluent_column x = affluent_numbers(&call, 8), y = affluent_numbers(&call, 8), wkt = affluent_texts(&call);
  affluent_result result = affluent_returns(&call, 0);
  for (unsigned row = 0; row < call.rows; row++) {
    if (affluent_is_null(&x, row) || affluent_is_null(&y, row) || affluent_is_null(&wkt, row)) {
      affluent_put_null(&result, row);
      continue;
    }
    int is_inside;
    const char *wrong = inside(affluent_string(&wkt, row), affluent_double(&x, row), affluent_double(&y, row), &is_inside);
    if (wrong) affluent_fail(&result, row, wrong);
    else affluent_put_bool(&result, row, is_inside);
  }
  return affluent_answer(&result);
}
