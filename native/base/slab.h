// Slab allocator: objects of one type in chunks, reused last-in first-out so that the next one is
// warm in cache.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace tidegate {

// One thread owns it. Memory of destroyed objects is kept for the next ones until the slab itself
// goes; objects must not outlive it.
template <typename T, std::size_t ChunkObjects = 32>
class Slab {
 public:
  Slab() = default;
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  template <typename... Args>
  T* create(Args&&... args) {
    if (free_ == nullptr) grow();
    Cell* cell = free_;
    free_ = cell->next;
    ++live_;
    return new (cell->bytes) T(std::forward<Args>(args)...);
  }

  void destroy(T* object) {
    object->~T();
    Cell* cell = reinterpret_cast<Cell*>(object);
    cell->next = free_;
    free_ = cell;
    --live_;
  }

  std::size_t live() const { return live_; }

  // Gives memory back when no object is alive. Called from time to time by an idle thread.
  void trim() {
    if (live_ != 0 || chunks_.size() <= 1) return;
    chunks_.clear();
    free_ = nullptr;
  }

 private:
  union Cell {
    Cell() {}
    Cell* next;
    alignas(T) std::byte bytes[sizeof(T)];
  };

  void grow() {
    chunks_.push_back(std::make_unique<std::array<Cell, ChunkObjects>>());
    for (auto cell = chunks_.back()->rbegin(); cell != chunks_.back()->rend(); ++cell) {
      cell->next = free_;
      free_ = &*cell;
    }
  }

  Cell* free_ = nullptr;
  std::size_t live_ = 0;
  std::vector<std::unique_ptr<std::array<Cell, ChunkObjects>>> chunks_;
};

// Owns an object of a slab, which must outlive it.
template <typename T>
class SlabOwner {
 public:
  SlabOwner() = default;
  SlabOwner(Slab<T>& slab, T* object) : slab_(&slab), object_(object) {}
  SlabOwner(SlabOwner&& other) noexcept
      : slab_(other.slab_), object_(std::exchange(other.object_, nullptr)) {}
  SlabOwner& operator=(SlabOwner&& other) noexcept {
    std::swap(slab_, other.slab_);
    std::swap(object_, other.object_);
    return *this;
  }
  ~SlabOwner() {
    if (object_ != nullptr) slab_->destroy(object_);
  }

  explicit operator bool() const { return object_ != nullptr; }
  T* operator->() const { return object_; }
  // nullptr when empty.
  T* get() const { return object_; }

 private:
  Slab<T>* slab_ = nullptr;
  T* object_ = nullptr;
};

}  // namespace tidegate
