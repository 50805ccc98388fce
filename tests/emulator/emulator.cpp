// The scheduler of cuda_runtime.h: fibers by ucontext, on one thread of the processor.
#include "cuda_runtime.h"

#include <ucontext.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <memory>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

thread_local uint3 threadIdx{}, blockIdx{};
thread_local dim3 blockDim, gridDim;

namespace emulator {
namespace {

constexpr std::size_t STACK = 256 * 1024;
// Rounds in which threads only paused, after which they wait for what will not come.
constexpr int MOST_PAUSES = 10'000;

enum class State { Ready, Paused, AtBarrier, InExchange, Done };

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack{new char[STACK]};
    uint3 thread;
    State state;
};

// The exchange that lanes of a warp are in, and what the last one gave.
struct Warp {
    unsigned mask, arrived;
    std::uint64_t brought[WARP], given[WARP];
};

struct Block {
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    std::vector<char> shared;
    ucontext_t scheduler;
    std::size_t current;
    std::exception_ptr failure;  // of a fiber: it cannot leave one by itself
    const std::function<void()>* thread;
    std::mt19937 random{1};
};

thread_local Block block;

Fiber& self() { return block.fibers[block.current]; }

void wait(State state) {
    self().state = state;
    swapcontext(&self().context, &block.scheduler);
}

void run_fiber() {
    try {
        (*block.thread)();
    } catch (...) {
        block.failure = std::current_exception();
    }
    self().state = State::Done;
    swapcontext(&self().context, &block.scheduler);
}

// Opens the barrier once all threads that have not ended are there.
bool open_barrier(std::size_t threads) {
    std::size_t there = 0, ended = 0;
    for (std::size_t i = 0; i < threads; ++i) {
        there += block.fibers[i].state == State::AtBarrier;
        ended += block.fibers[i].state == State::Done;
    }
    if (there == 0 || there + ended < threads) return false;
    for (std::size_t i = 0; i < threads; ++i) {
        if (block.fibers[i].state == State::AtBarrier) block.fibers[i].state = State::Ready;
    }
    return true;
}

void start(std::size_t i) {
    Fiber& fiber = block.fibers[i];
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, run_fiber, 0);
    const unsigned x = unsigned(i) % blockDim.x, rest = unsigned(i) / blockDim.x;
    fiber.thread = {x, rest % blockDim.y, rest / blockDim.y};
    fiber.state = State::Ready;
}

void run_block(std::size_t threads, std::vector<std::size_t>& order) {
    for (std::size_t i = 0; i < threads; ++i) start(i);
    block.warps.assign((threads + WARP - 1) / WARP, Warp{});
    std::shuffle(order.begin(), order.end(), block.random);
    for (int pauses = 0;;) {
        bool ran = false, paused = false, live = false;
        for (const std::size_t i : order) {
            Fiber& fiber = block.fibers[i];
            paused |= fiber.state == State::Paused;
            if (fiber.state != State::Ready && fiber.state != State::Paused) continue;
            ran |= fiber.state == State::Ready;
            fiber.state = State::Ready;
            block.current = i;
            threadIdx = fiber.thread;
            swapcontext(&block.scheduler, &fiber.context);
            if (block.failure) std::rethrow_exception(std::exchange(block.failure, nullptr));
        }
        for (const std::size_t i : order) live |= block.fibers[i].state != State::Done;
        if (!live) return;
        pauses = ran ? 0 : pauses + 1;
        const bool opened = open_barrier(threads);
        if ((!ran && !paused && !opened) || pauses > MOST_PAUSES) {
            throw std::runtime_error("emulator: the threads of a block wait for each other for ever");
        }
    }
}

}  // namespace

void run(dim3 grid, dim3 size, std::size_t shared, const std::function<void()>& thread) {
    const std::size_t threads = std::size_t(size.x) * size.y * size.z;
    if (threads == 0 || threads > 1024 || size.z > 64 || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
        grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535 || shared > 48 * 1024) {
        throw std::runtime_error("emulator: a device would refuse this launch");
    }
    if (const char* seed = std::getenv("ROTX_EMULATOR_SEED")) block.random.seed(unsigned(std::atoi(seed)));
    while (block.fibers.size() < threads) block.fibers.emplace_back();
    block.shared.assign(shared, char(0xff));
    block.thread = &thread;
    blockDim = size;
    gridDim = grid;
    std::vector<std::size_t> order(threads), blocks(std::size_t(grid.x) * grid.y * grid.z);
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i] = i;
    std::shuffle(blocks.begin(), blocks.end(), block.random);
    for (const std::size_t i : blocks) {
        const unsigned x = unsigned(i % grid.x), rest = unsigned(i / grid.x);
        blockIdx = {x, rest % grid.y, rest / grid.y};
        run_block(threads, order);
    }
}

void* dynamic_shared() { return block.shared.data(); }

void sync_block() { wait(State::AtBarrier); }

void pause() { wait(State::Paused); }

unsigned lane() { return unsigned(block.current) % WARP; }

const std::uint64_t* exchange(unsigned mask, std::uint64_t value) {
    const std::size_t first = block.current / WARP * WARP, threads = blockDim.x * blockDim.y * blockDim.z;
    Warp& warp = block.warps[block.current / WARP];
    const unsigned own = lane();
    if (threads - first < WARP) mask &= (1u << (threads - first)) - 1;  // the last warp of a block has fewer lanes
    if (!(mask >> own & 1u)) throw std::runtime_error("emulator: a lane is not in its own mask");
    if (warp.arrived != 0 && warp.mask != mask) {
        throw std::runtime_error("emulator: lanes of a warp came with different masks");
    }
    warp.mask = mask;
    warp.brought[own] = value;
    warp.arrived |= 1u << own;
    if (warp.arrived != mask) {
        wait(State::InExchange);
    } else {
        std::copy(std::begin(warp.brought), std::end(warp.brought), warp.given);
        warp.arrived = 0;
        for (unsigned i = 0; i < WARP; ++i) {
            if (mask >> i & 1u && i != own) block.fibers[first + i].state = State::Ready;
        }
    }
    return warp.given;
}

}  // namespace emulator

// What torch asks of a CUDA build.
extern "C" {
int32_t aoti_torch_get_current_cuda_stream(int32_t, void** stream) { return *stream = nullptr, 0; }
int32_t aoti_torch_create_device_guard(int32_t, void** guard) { return *guard = nullptr, 0; }
int32_t aoti_torch_delete_device_guard(void*) { return 0; }
int32_t torch_c10_cuda_check_msg(int32_t, const char*, const char*, uint32_t, bool, char** message) {
    return *message = nullptr, 0;
}
void torch_c10_cuda_free_error_msg(char*) {}
}
