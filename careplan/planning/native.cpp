// The tree's own work on a CPU: what tree.py says in tensors (descend, grow, best_edge) and search.py (most_visited), in loops.
//
// A node is one record of 32-bit words: its numbers, the outcomes [P, C] of reward, total, value and plan, then q, visits, logits
// and children of its K edges, each padded to whole vectors. What is read together lies together: a node's numbers, and the same
// node of all trees. Plain C arguments: nothing of torch or Python is compiled. native.py has the same layout and fields.

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>

namespace {

constexpr int LANES = 8, MOST_VECTORS = 32;
constexpr int AHEAD = 4, GROUP = 4;  // trees for which memory is asked beforehand; nodes scored together: one alone waits
constexpr int64_t BLOCK = 16;  // trees that take a step together, so that their reads overlap
constexpr float CLOSED = -1e30f, VALUE_SCALE = 0.1f, VISIT_OFFSET = 50.0f, TINY = 1.17549435e-38f;

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef float halves __attribute__((vector_size(2 * LANES)));

enum Word { RAW, VISITS, BEST, NEXT, PARENT, EDGE, DEPTH, ELIGIBLE, BROKEN, OUTCOMES };  // then four times P * C, then the edges
enum Part { STATE, REWARD, VALUE, TABLE, VALID, LOGITS, RAISES };                        // of an expansion

struct Forest {
  float *records, *state, *table;       // [R, B, words], [R, B, E]: trees side by side; [B, R or 1, K * d]
  const float *noise, *start, *budget;  // [B, K padded] Gumbel noise and visits at the start, [B, C - 1]
  int32_t *paths;                       // [most wide, B, depth + 3]: length (0 where inactive), first edge, leaf, nodes
  int64_t trees, words, edges_at, edges, embedding, action, particles, channels, wide, depth, threads;
  int64_t table_tree, table_node;  // from one table to the next; 0 where all nodes share it
  int64_t widening;                // as in tree.within; 0 where every open edge may be tried
  float discount, risk_level;
};

struct View {  // one part of an expansion, [B, W, ...] with its last dimensions side by side
  const char *data;
  int64_t tree, node, size;
  template <typename T> const T *at(int64_t b, int64_t w) const {
    return reinterpret_cast<const T *>(data + size * (b * tree + w * node));
  }
};

inline floats splat(float x) { return floats{x, x, x, x, x, x, x, x}; }
inline floats most(floats a, floats b) { return a > b ? a : b; }
inline floats least(floats a, floats b) { return a < b ? a : b; }
inline halves low(floats x) { halves h; std::memcpy(&h, &x, sizeof h); return h; }
inline halves high(floats x) { halves h; std::memcpy(&h, reinterpret_cast<char *>(&x) + sizeof h, sizeof h); return h; }
inline float sum(floats x) { halves h = low(x) + high(x); return (h[0] + h[2]) + (h[1] + h[3]); }
inline float maximum(floats x) {
  halves a = low(x), b = high(x), h = a > b ? a : b;
  return std::max(std::max(h[0], h[2]), std::max(h[1], h[3]));
}
inline float minimum(floats x) { return -maximum(-x); }

inline floats load(const float *from) { floats x; std::memcpy(&x, from, sizeof x); return x; }
inline floats lanes(float from) { return floats{0, 1, 2, 3, 4, 5, 6, 7} + from; }

inline floats exponential(floats x) {  // of x <= 0, never below TINY; Cephes' expf, within 2 units in the last place
  x = most(x, splat(-87.3365447f));
  floats n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;  // rounds to whole numbers
  floats r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  floats p = splat(1.9875691500e-4f);
  for (float c : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f}) p = p * r + c;
  p = p * r * r + r + 1.0f;
  ints power = (__builtin_convertvector(n, ints) + 127) << 23;
  floats scale;
  std::memcpy(&scale, &power, sizeof scale);
  return p * scale;
}

struct Record {
  float *word;
  int32_t &whole(int64_t i) const { return reinterpret_cast<int32_t *>(word)[i]; }
};

template <int V, bool ONE>  // vectors of edges, 0 where not known beforehand; whether an outcome is one number
struct Trees {
  const Forest &f;
  const int64_t padded;
  explicit Trees(const Forest &forest) : f(forest), padded((forest.edges + LANES - 1) / LANES * LANES) {}

  int64_t particles() const { return ONE ? 1 : f.particles; }
  int64_t outcome() const { return ONE ? 1 : f.particles * f.channels; }
  int vectors() const { return V ? V : int(padded / LANES); }

  Record node(int64_t b, int64_t n) const { return {f.records + (n * f.trees + b) * f.words}; }
  float *reward(Record r) const { return r.word + OUTCOMES; }
  float *total(Record r) const { return r.word + OUTCOMES + outcome(); }
  float *value(Record r) const { return r.word + OUTCOMES + 2 * outcome(); }
  float *plan(Record r) const { return r.word + OUTCOMES + 3 * outcome(); }
  float *q(Record r) const { return r.word + f.edges_at; }
  float *visits(Record r) const { return q(r) + padded; }
  float *logits(Record r) const { return q(r) + 2 * padded; }
  int32_t *child(Record r) const { return reinterpret_cast<int32_t *>(q(r) + 3 * padded); }
  int32_t *path(int64_t b, int64_t w) const { return f.paths + (w * f.trees + b) * (f.depth + 3); }

  // The first of the largest of all edges, of which there are no NaN.
  int argmax(const floats *x) const {
    floats top = x[0];
    for (int i = 1; i < vectors(); ++i) top = most(top, x[i]);
    const float largest = maximum(top);
    floats first = splat(0x1p24f);
    for (int i = 0; i < vectors(); ++i) first = least(first, x[i] == largest ? lanes(i * LANES) : splat(0x1p24f));
    const float found = minimum(first);
    return found < f.edges ? int(found) : 0;
  }

  // The logits, the scaled completed q (tree.completed_q) and the visits of a node's open edges; `count` is their sum.
  struct Scored {
    floats logits[V ? V : MOST_VECTORS], q[V ? V : MOST_VECTORS], visits[V ? V : MOST_VECTORS];
    float top, count;
  };

  // Closes those edges that a node may not try yet, which was passed `count` times: tree.within.
  void close(float *logits, float count) const {
    int64_t room = f.widening << std::ilogb(count + 1.5f);
    for (int64_t k = 0; k < f.edges; ++k)
      if (logits[k] > CLOSED && room-- <= 0) logits[k] = CLOSED;
  }

  template <int G> __attribute__((always_inline)) void complete(const Record *r, Scored *s, bool widening = false) const {
    float mixed[G];
    for (int g = 0; g < G; ++g) {
      floats top = splat(CLOSED);
      for (int i = 0; i < vectors(); ++i) s[g].logits[i] = load(logits(r[g]) + i * LANES);
      if (widening) close(reinterpret_cast<float *>(s[g].logits), r[g].word[VISITS] - 1.0f);  // its first visit made it
      for (int i = 0; i < vectors(); ++i) {
        s[g].q[i] = load(q(r[g]) + i * LANES);
        s[g].visits[i] = s[g].logits[i] > CLOSED ? load(visits(r[g]) + i * LANES) : splat(0.0f);
        top = most(top, s[g].logits[i]);
      }
      s[g].top = maximum(top);
    }
    floats busiest[G];
    for (int g = 0; g < G; ++g) {
      floats weights = splat(0.0f), weighted = weights, count = weights;
      busiest[g] = weights;
      for (int i = 0; i < vectors(); ++i) {
        floats prior = s[g].visits[i] > 0.0f ? exponential(s[g].logits[i] - s[g].top) : splat(0.0f);
        weights += prior;
        weighted += prior * s[g].q[i];
        count += s[g].visits[i];
        busiest[g] = most(busiest[g], s[g].visits[i]);
      }
      s[g].count = sum(count);
      mixed[g] = (r[g].word[RAW] + s[g].count * (sum(weighted) / std::max(sum(weights), TINY))) / (s[g].count + 1.0f);
    }
    for (int g = 0; g < G; ++g) {
      floats lowest = splat(INFINITY), highest = splat(-INFINITY);
      for (int i = 0; i < vectors(); ++i) {
        s[g].q[i] = s[g].visits[i] > 0.0f ? s[g].q[i] : splat(mixed[g]);
        const auto edges = lanes(i * LANES) < float(f.edges);  // the padding is none
        lowest = least(lowest, edges ? s[g].q[i] : splat(INFINITY));
        highest = most(highest, edges ? s[g].q[i] : splat(-INFINITY));
      }
      const float base = minimum(lowest), span = std::max(maximum(highest) - base, 1e-8f);
      const float scale = (VISIT_OFFSET + maximum(busiest[g])) * VALUE_SCALE / span;
      for (int i = 0; i < vectors(); ++i) s[g].q[i] = scale * (s[g].q[i] - base);
    }
  }

  // The best edges of G nodes that were passed, and what hangs there: tree.best_edge.
  template <int G> __attribute__((always_inline)) void score(const Record *r) const {
    Scored s[G];
    complete<G>(r, s, f.widening > 0);
    float share[G];
    for (int g = 0; g < G; ++g) {
      floats top = splat(-INFINITY), total = splat(0.0f);
      for (int i = 0; i < vectors(); ++i) {
        s[g].q[i] += s[g].logits[i];
        top = most(top, s[g].q[i]);
      }
      const float peak = maximum(top);
      for (int i = 0; i < vectors(); ++i) total += s[g].q[i] = exponential(s[g].q[i] - peak);
      share[g] = 1.0f / sum(total);
    }
    for (int g = 0; g < G; ++g) {
      const float each = 1.0f / (1.0f + s[g].count);
      for (int i = 0; i < vectors(); ++i)
        s[g].q[i] = s[g].logits[i] > CLOSED ? s[g].q[i] * share[g] - s[g].visits[i] * each : splat(-INFINITY);
      const int best = argmax(s[g].q);
      r[g].whole(BEST) = best;
      r[g].whole(NEXT) = child(r[g])[best];
    }
  }

  float tail_mean(float *values) const {  // of P, which it sorts
    const int64_t particles = this->particles();
    float found = 0.0f;
    if (f.risk_level >= 1.0f || particles == 1) {
      for (int64_t p = 0; p < particles; ++p) found += values[p];
      return found / particles;
    }
    float mass = f.risk_level * particles;
    std::sort(values, values + particles);
    for (int64_t p = 0; p < particles; ++p) found += values[p] * (std::min(std::max(mass - p, 0.0f), 1.0f) / mass);
    return found;
  }

  // The `width` best root edges of those visited `wanted` times since the start, or nearest to that: search.most_visited.
  void choose(int64_t b, float wanted, int64_t width) const {
    const Record root = node(b, 0);
    Scored s;
    complete<1>(&root, &s);
    for (int i = 0; i < vectors(); ++i) {
      const floats noise = load(f.noise + b * padded + i * LANES), start = load(f.start + b * padded + i * LANES);
      floats away = load(visits(root) + i * LANES) - start - wanted;
      away = most(away, -away);
      const floats open = most(noise + s.logits[i] - s.top + s.q[i], splat(-1e9f)) - 1e12f * away;
      const auto edges = lanes(i * LANES) < float(f.edges);
      s.q[i] = edges ? (s.logits[i] > CLOSED ? open : splat(-FLT_MAX)) : splat(-INFINITY);
    }
    for (int64_t w = 0; w < width; ++w) {
      const int best = argmax(s.q);
      path(b, w)[0] = logits(root)[best] > CLOSED;
      path(b, w)[1] = best;
      for (int i = 0; i < vectors(); ++i) s.q[i] = lanes(i * LANES) == float(best) ? splat(-INFINITY) : s.q[i];
    }
  }

  // From the root to an unvisited edge or as deep as it may go, in trees [from, to), which wait for memory together: what a tree
  // finds steers no branch. A new node is hung at `slot`.
  void descend(int64_t from, int64_t to, int64_t w, int64_t slot) const {
    int32_t below[BLOCK];
    for (int64_t b = from; b < to; ++b) {
      int32_t *path = this->path(b, w);
      below[b - from] = path[0] ? child(node(b, 0))[path[1]] : 0;
      path[3] = 0;
    }
    int32_t deeper = 1;
    for (int64_t level = 1; level < f.depth && deeper; ++level) {
      deeper = 0;
      for (int64_t b = from; b < to; ++b) {
        int32_t *path = this->path(b, w), at = below[b - from], on = at > 0;
        path[3 + level] = at;
        path[0] += on;
        at = node(b, on ? at : 0).whole(NEXT);
        below[b - from] = on ? at : 0;
        deeper |= on;
      }
    }
    for (int64_t b = from; b < to; ++b) {
      path(b, w)[2] = below[b - from] > 0 ? below[b - from] : slot;
      const Asked asked = ask(b, w);
      for (int64_t i = 0; i < f.embedding; i += 16) __builtin_prefetch(asked.state + i);
      __builtin_prefetch(asked.action);
    }
  }

  struct Asked {
    const float *state, *action;
  };

  Asked ask(int64_t b, int64_t w) const {  // what the model is asked at the end of a path
    const int32_t *path = this->path(b, w);
    const int64_t parent = path[3 + std::max(path[0], 1) - 1], at = parent * f.trees + b;
    const int64_t edge = parent ? node(b, parent).whole(BEST) : path[1];
    return {f.state + at * f.embedding, f.table + b * f.table_tree + parent * f.table_node + edge * f.action};
  }

  // Hang one expanded leaf into its tree and back its outcome up: tree.grow. scratch: [2 * P * C + P]. The nodes that are to be
  // scored anew are put at `passed`; returns how many.
  int64_t grow(int64_t b, int64_t w, int64_t column, const View *part, float *scratch, Record *passed) const {
    const int32_t *path = this->path(b, w), length = path[0], *nodes = path + 3;
    if (!length) return 0;
    const int64_t particles = this->particles(), channels = ONE ? 1 : f.channels, outcome = particles * channels;
    const float gamma = f.discount;
    const float *gained = part[REWARD].at<float>(b, column), *ahead = part[VALUE].at<float>(b, column);
    float *here = scratch, *there = here + outcome, *channel = there + outcome;
    Record leaf = node(b, path[2]), above = node(b, nodes[length - 1]);
    const int32_t edge = length > 1 ? above.whole(BEST) : path[1];

    bool finite = true;
    for (int64_t i = 0; i < outcome; ++i) finite &= std::isfinite(gained[i]) && std::isfinite(ahead[i]);
    float before = 1.0f;
    for (int32_t step = 1; step < length; ++step) before *= gamma;
    const float after = before * gamma;
    float *const reward = this->reward(leaf), *const value = this->value(leaf), *const plan = this->plan(leaf);
    const float *const otherwise = this->value(above), *const standing = this->plan(above);
    for (int64_t i = 0; i < outcome; ++i) {
      reward[i] = finite ? gained[i] : 0.0f;
      value[i] = finite ? ahead[i] : 0.0f;
      plan[i] = standing[i] - before * otherwise[i] + before * reward[i] + after * value[i];
    }
    bool over = false;
    for (int64_t c = 1; c < channels; ++c) {
      float mean = 0.0f;
      for (int64_t p = 0; p < particles; ++p) mean += plan[p * channels + c];
      over |= mean / particles > f.budget[b * (channels - 1) + c - 1];
    }
    const bool pruned = (*part[RAISES].at<bool>(b, column) && over) || !finite;
    for (int64_t p = 0; p < particles; ++p) channel[p] = value[p * channels];
    leaf.word[RAW] = tail_mean(channel);
    leaf.whole(PARENT) = nodes[length - 1];
    leaf.whole(EDGE) = edge;
    leaf.whole(DEPTH) = length;
    leaf.whole(ELIGIBLE) = above.whole(ELIGIBLE) && !pruned;
    leaf.whole(BROKEN) = !finite;
    const bool *valid = part[VALID].at<bool>(b, column);
    const float *prior = part[LOGITS].at<float>(b, column);
    floats masked[V ? V : MOST_VECTORS];
    float *const open = reinterpret_cast<float *>(masked);
    for (int64_t k = 0; k < padded; ++k) open[k] = k < f.edges && valid[k] ? prior[k] : CLOSED;
    std::memcpy(logits(leaf), masked, sizeof(floats) * vectors());
    if (f.widening > 0) close(open, 0.0f);
    leaf.whole(BEST) = argmax(masked);
    leaf.whole(NEXT) = 0;  // so is all else of a new record
    const int64_t at = path[2] * f.trees + b;
    std::memcpy(f.state + at * f.embedding, part[STATE].at<float>(b, column), sizeof(float) * f.embedding);
    if (f.table_node)
      std::memcpy(f.table + b * f.table_tree + path[2] * f.table_node, part[TABLE].at<float>(b, column),
                  sizeof(float) * f.edges * f.action);

    child(above)[edge] = path[2];
    for (int64_t i = 0; i < outcome; ++i) {
      there[i] = value[i];                                           // what the leaf returns
      here[i] = pruned ? otherwise[i] : reward[i] + gamma * value[i];  // and its parent
    }
    for (int32_t step = length; step > 0; --step) {
      Record below = step == length ? leaf : node(b, nodes[step]), from = node(b, nodes[step - 1]);
      if (step < length)
        for (int64_t i = 0; i < outcome; ++i) {
          there[i] = here[i];
          here[i] = this->reward(below)[i] + gamma * here[i];
        }
      float *sums = total(below), seen = below.word[VISITS] += 1.0f;
      for (int64_t i = 0; i < outcome; ++i) sums[i] += there[i];
      for (int64_t p = 0; p < particles; ++p)
        channel[p] = this->reward(below)[p * channels] + gamma * sums[p * channels] / seen;
      const int32_t taken = step > 1 ? from.whole(BEST) : path[1];
      q(from)[taken] = tail_mean(channel);
      visits(from)[taken] = seen;
      if (pruned && step == length) logits(from)[taken] = CLOSED;
      if (step > 1) *passed++ = from;
    }
    return length - 1;
  }

  // Asks for what a tree that is grown soon will read; another thread may move it on meanwhile, which does no harm.
  // Inlined always: of a function that only asks, the compiler says that it does nothing, and drops it.
  __attribute__((always_inline)) void fetch(int64_t b, int64_t first, int64_t count, const View *part) const {
    for (int64_t w = 0; w < count; ++w) {
      const int32_t *path = this->path(b, first + w);
      for (int64_t k = 0; k < f.edges; k += 16) __builtin_prefetch(part[LOGITS].at<float>(b, w) + k);
      const Record leaf = node(b, path[2]);
      for (int64_t word = 0; word < f.edges_at; word += 16) __builtin_prefetch(leaf.word + word, 1);
      for (int64_t k = 0; k < padded; k += 16) __builtin_prefetch(logits(leaf) + k, 1);
      for (int32_t step = 0; step < path[0]; ++step)
        for (int64_t word = 0; word < f.words; word += 16) __builtin_prefetch(node(b, path[3 + step]).word + word, 1);
    }
  }
};

template <int V, bool ONE>
void step(const Forest &f, const View *grown, int64_t grown_first, int64_t grown_count, const float *wanted, int64_t width,
          int64_t first, int64_t count, int64_t slot, float *state, float *action) {
  const Trees<V, ONE> trees(f);
#pragma omp parallel for num_threads(f.threads) if (f.threads > 1)
  for (int64_t block = 0; block < (f.trees + BLOCK - 1) / BLOCK; ++block) {
    const int64_t from = block * BLOCK, to = std::min(from + BLOCK, f.trees);
    const std::unique_ptr<float[]> scratch(new float[2 * trees.outcome() + trees.particles()]);
    const std::unique_ptr<Record[]> passed(new Record[BLOCK * grown_count * f.depth]);
    int64_t count_passed = 0, scored = 0;
    for (int64_t b = from; b < to; ++b) {
      if (b + AHEAD < f.trees) trees.fetch(b + AHEAD, grown_first, grown_count, grown);
      for (int64_t w = 0; w < grown_count; ++w)
        count_passed += trees.grow(b, grown_first + w, w, grown, scratch.get(), passed.get() + count_passed);
    }
    for (; scored + GROUP <= count_passed; scored += GROUP) trees.template score<GROUP>(passed.get() + scored);
    for (; scored < count_passed; ++scored) trees.template score<1>(passed.get() + scored);
    if (width)
      for (int64_t b = from; b < to; ++b) trees.choose(b, wanted[b], width);
    for (int64_t w = 0; w < count; ++w) {
      trees.descend(from, to, first + w, slot + w);
      for (int64_t b = from; b < to; ++b) {
        const auto asked = trees.ask(b, first + w);
        std::memcpy(state + (b * count + w) * f.embedding, asked.state, sizeof(float) * f.embedding);
        std::memcpy(action + (b * count + w) * f.action, asked.action, sizeof(float) * f.action);
      }
    }
  }
}

}  // namespace
extern "C" const char careplan_source[] = CAREPLAN_SOURCE;  // native.py loads no library of another source

// Grow what was expanded (if grown_count), choose `width` root edges (if width), and go down `count` of the paths from `first` on.
extern "C" void careplan_step(const Forest *f, const View *grown, int64_t grown_first, int64_t grown_count, const float *wanted,
                              int64_t width, int64_t first, int64_t count, int64_t slot, float *state, float *action) {
  const auto run = [&](auto steps) { steps(*f, grown, grown_first, grown_count, wanted, width, first, count, slot, state, action); };
  const bool one = f->particles * f->channels == 1;
  switch ((f->edges + LANES - 1) / LANES) {
    case 1: return one ? run(step<1, true>) : run(step<1, false>);
    case 2: return one ? run(step<2, true>) : run(step<2, false>);
    default: return one ? run(step<0, true>) : run(step<0, false>);
  }
}
