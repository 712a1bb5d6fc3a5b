// Slab allocator: objects of one type in the cells of a pool.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

#include "base/cell_pool.h"

namespace tidegate {

// One thread owns it. Objects must not outlive it.
template <typename T>
class Slab {
 public:
  template <typename... Args>
  T* create(Args&&... args) {
    return new (cells_.take()) T(std::forward<Args>(args)...);
  }

  void destroy(T* object) {
    object->~T();
    cells_.giveBack(object);
  }

  std::size_t live() const { return cells_.used(); }

  // Where its memory comes from, and who gives it back.
  CellPool& cells() { return cells_; }

 private:
  CellPool cells_{sizeof(T), alignof(T)};
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
