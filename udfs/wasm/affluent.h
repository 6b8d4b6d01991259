/* Functions in C for Affluent: columns in, a column out, without libc.
 *
 *   clang --target=wasm32 -O2 -nostdlib -mbulk-memory -Wl,--no-entry -I udfs/wasm -o f.wasm f.c
 *
 *   #include "affluent.h"
 *   AFFLUENT(half) {                                    // CREATE FUNCTION half(x DOUBLE) RETURNS DOUBLE ...
 *     affluent_column x = affluent_numbers(&call, 8);   // the arguments in order
 *     affluent_result result = affluent_returns(&call, 8);
 *     for (unsigned row = 0; row < call.rows; row++) {
 *       if (affluent_is_null(&x, row)) affluent_put_null(&result, row);
 *       else affluent_put_double(&result, row, affluent_double(&x, row) / 2);
 *     }
 *     return affluent_answer(&result);
 *   }
 *
 * | SQL                               | argument                   | result                          |
 * | BOOLEAN                           | affluent_bits              | affluent_returns(&call, 0)      |
 * | TINYINT, SMALLINT, INT, BIGINT    | affluent_numbers 1 2 4 8   | affluent_returns 1 2 4 8        |
 * | FLOAT, DOUBLE                     | affluent_numbers 4 8       | affluent_returns 4 8            |
 * | DATE, TIME; TIMESTAMP             | affluent_numbers 4; 8      | affluent_returns 4; 8           |
 * | STRING, BYTES                     | affluent_texts             | affluent_returns_texts          |
 *
 * Days and microseconds count from 1970; TIMESTAMP(3) has milliseconds, TIMESTAMP(6) microseconds. The layout stands in
 * the README of this folder. Everything that a call takes is freed when it ends.
 */
#ifndef AFFLUENT_H
#define AFFLUENT_H

typedef unsigned char affluent_byte;
typedef unsigned long long affluent_u64;
_Static_assert(sizeof(affluent_u64) == 8 && sizeof(void *) == 4, "build it with --target=wasm32");

typedef struct { unsigned rows; const affluent_byte *at; } affluent_call;
typedef struct { const affluent_byte *valid; const int *offsets; const void *values; } affluent_column;
typedef struct { const affluent_byte *at; unsigned length; } affluent_text;
typedef struct affluent_failure { unsigned row, length; const char *text; struct affluent_failure *next; } affluent_failure;
typedef struct {
  unsigned rows, width, used, room, failed;
  affluent_byte *valid, *values;
  int *offsets;
  affluent_failure *failures;
} affluent_result;

#define AFFLUENT(name)                                                              \
  static affluent_byte *affluent_of_##name(affluent_call call);                     \
  __attribute__((export_name(#name))) affluent_byte *affluent_export_##name(const affluent_byte *place) { \
    affluent_call call = {(unsigned)*(const affluent_u64 *)place, place + 8};       \
    return affluent_of_##name(call);                                                \
  }                                                                                 \
  static affluent_byte *affluent_of_##name(affluent_call call)

/* Memory: it grows from the end of the program's own, and is given back as a whole. */
extern affluent_byte __heap_base;
static affluent_byte *affluent_next = &__heap_base;

static inline unsigned affluent_padded(unsigned size) { return (size + 7) & ~7u; }

__attribute__((export_name("affluent_alloc"))) void *affluent_alloc(unsigned size) {
  affluent_byte *place = (affluent_byte *)(((unsigned)affluent_next + 7) & ~7u);
  unsigned end = (unsigned)place + affluent_padded(size), has = __builtin_wasm_memory_size(0) * 65536u;
  if (end < (unsigned)place) __builtin_trap();
  if (end > has && __builtin_wasm_memory_grow(0, (end - has + 65535) / 65536) == (unsigned)-1) __builtin_trap();
  affluent_next = (affluent_byte *)end;
  return place;
}

__attribute__((export_name("affluent_reset"))) void affluent_reset(void) { affluent_next = &__heap_base; }

/* Arguments, in order. */
static inline const affluent_byte *affluent_take(affluent_call *call, unsigned size) {
  const affluent_byte *at = call->at;
  call->at += affluent_padded(size);
  return at;
}

static inline affluent_column affluent_valid(affluent_call *call) {
  affluent_column column = {0, 0, 0};
  if (*(const affluent_u64 *)affluent_take(call, 8)) column.valid = affluent_take(call, (call->rows + 7) / 8);
  return column;
}

static inline affluent_column affluent_numbers(affluent_call *call, unsigned width) {
  affluent_column column = affluent_valid(call);
  column.values = affluent_take(call, call->rows * width);
  return column;
}

static inline affluent_column affluent_bits(affluent_call *call) {
  affluent_column column = affluent_valid(call);
  column.values = affluent_take(call, (call->rows + 7) / 8);
  return column;
}

static inline affluent_column affluent_texts(affluent_call *call) {
  affluent_column column = affluent_valid(call);
  column.offsets = (const int *)affluent_take(call, (call->rows + 1) * 4);
  column.values = affluent_take(call, column.offsets[call->rows]);
  return column;
}

static inline int affluent_bit(const void *bits, unsigned row) { return ((const affluent_byte *)bits)[row / 8] >> (row % 8) & 1; }
static inline int affluent_is_null(const affluent_column *c, unsigned row) { return c->valid && !affluent_bit(c->valid, row); }
static inline int affluent_int(const affluent_column *c, unsigned row) { return ((const int *)c->values)[row]; }
static inline long long affluent_long(const affluent_column *c, unsigned row) { return ((const long long *)c->values)[row]; }
static inline double affluent_double(const affluent_column *c, unsigned row) { return ((const double *)c->values)[row]; }
static inline affluent_text affluent_string(const affluent_column *c, unsigned row) {
  int from = c->offsets[row];
  affluent_text text = {(const affluent_byte *)c->values + from, (unsigned)(c->offsets[row + 1] - from)};
  return text;
}

/* Results: a value, a NULL or an error for each row, rows in order. */
static inline affluent_byte *affluent_zeros(unsigned size) {
  affluent_byte *place = affluent_alloc(size);
  __builtin_memset(place, 0, affluent_padded(size));
  return place;
}

static inline affluent_result affluent_returns(const affluent_call *call, unsigned width) {
  affluent_result r = {call->rows, width, 0, 0, 0, affluent_zeros((call->rows + 7) / 8), 0, 0, 0};
  r.values = affluent_zeros(width ? call->rows * width : (call->rows + 7) / 8);
  return r;
}

static inline affluent_result affluent_returns_texts(const affluent_call *call) {
  affluent_result r = {call->rows, 0, 0, 0, 0, affluent_zeros((call->rows + 7) / 8), 0, 0, 0};
  r.offsets = (int *)affluent_zeros((call->rows + 1) * 4);
  return r;
}

static inline void affluent_is_valid(affluent_result *r, unsigned row) { r->valid[row / 8] |= 1 << (row % 8); }
static inline void affluent_put_bool(affluent_result *r, unsigned row, int value) {
  affluent_is_valid(r, row);
  if (value) r->values[row / 8] |= 1 << (row % 8);
}
static inline void affluent_put_int(affluent_result *r, unsigned row, int value) { affluent_is_valid(r, row); ((int *)r->values)[row] = value; }
static inline void affluent_put_long(affluent_result *r, unsigned row, long long value) { affluent_is_valid(r, row); ((long long *)r->values)[row] = value; }
static inline void affluent_put_double(affluent_result *r, unsigned row, double value) { affluent_is_valid(r, row); ((double *)r->values)[row] = value; }
static inline void affluent_put_null(affluent_result *r, unsigned row) { if (r->offsets) r->offsets[row + 1] = r->used; }

/* Adds to the text of a row; a row may get it in parts. */
static inline void affluent_put_text(affluent_result *r, unsigned row, const void *text, unsigned length) {
  if (r->used + length > r->room) {
    r->room = 2 * (r->used + length) + 256;
    affluent_byte *larger = affluent_alloc(r->room);
    __builtin_memcpy(larger, r->values, r->used);
    r->values = larger;
  }
  __builtin_memcpy(r->values + r->used, text, length);
  r->used += length;
  affluent_is_valid(r, row);
  r->offsets[row + 1] = r->used;
}

/* The row fails with this message: it ends the job, or is NULL with 'lookup.on-error' = 'null'. */
static inline void affluent_fail(affluent_result *r, unsigned row, const char *message) {
  affluent_failure *failure = affluent_alloc(sizeof *failure);
  unsigned length = 0;
  while (message[length]) length++;
  *failure = (affluent_failure){row, length, message, r->failures};
  r->failures = failure;
  r->failed++;
  affluent_put_null(r, row);
}

static inline affluent_byte *affluent_answer(affluent_result *r) {
  unsigned bits = affluent_padded((r->rows + 7) / 8), values, size = 8 + 8 + bits;
  if (r->offsets) values = affluent_padded((r->rows + 1) * 4) + affluent_padded(r->used);
  else values = r->width ? affluent_padded(r->rows * r->width) : bits;
  for (affluent_failure *f = r->failures; f; f = f->next) size += 16 + affluent_padded(f->length);
  affluent_byte *answer = affluent_alloc(8 + size + values), *at = answer;
  *(affluent_u64 *)at = size + values, at += 8;
  *(affluent_u64 *)at = r->failed, at += 8;
  for (affluent_failure *f = r->failures; f; f = f->next) {
    *(affluent_u64 *)at = f->row, at += 8;
    *(affluent_u64 *)at = f->length, at += 8;
    __builtin_memcpy(at, f->text, f->length), at += affluent_padded(f->length);
  }
  *(affluent_u64 *)at = 1, at += 8;
  __builtin_memcpy(at, r->valid, bits), at += bits;
  if (r->offsets) {
    __builtin_memcpy(at, r->offsets, (r->rows + 1) * 4), at += affluent_padded((r->rows + 1) * 4);
    __builtin_memcpy(at, r->values, r->used);
  } else {
    __builtin_memcpy(at, r->values, values);
  }
  return answer;
}

#endif
