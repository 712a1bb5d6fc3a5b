// A doubly linked list whose links live in the objects: no allocation, O(1) removal from the
// middle.
#pragma once

#include <cstddef>

namespace tidegate {

// Base of what can be in a list; `Tag` tells apart the lists that one object may be in at the same
// time.
template <typename Tag>
class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;

  bool linked() const { return next_ != nullptr; }
  void unlink() {
    if (!linked()) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = next_ = nullptr;
  }

 private:
  template <typename, typename>
  friend class IntrusiveList;
  ListNode* prev_ = nullptr;
  ListNode* next_ = nullptr;
};

// Does not own its objects. An object must be unlinked before it is destroyed.
template <typename T, typename Tag>
class IntrusiveList {
  using Node = ListNode<Tag>;

 public:
  IntrusiveList() { clear(); }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  bool empty() const { return root_.next_ == &root_; }
  T* front() { return empty() ? nullptr : static_cast<T*>(root_.next_); }
  T* back() { return empty() ? nullptr : static_cast<T*>(root_.prev_); }
  // nullptr after the last one.
  T* after(T* object) {
    Node* node = static_cast<Node*>(object)->next_;
    return node == &root_ ? nullptr : static_cast<T*>(node);
  }
  void pushFront(T* object) { insert(object, &root_); }
  void pushBack(T* object) { insert(object, root_.prev_); }
  // `place` is in this list.
  void insertBefore(T* object, T* place) { insert(object, static_cast<Node*>(place)->prev_); }
  T* popFront() {
    T* object = front();
    if (object != nullptr) static_cast<Node*>(object)->unlink();
    return object;
  }
  // Moves everything of `other` behind what is here.
  void splice(IntrusiveList& other) {
    if (other.empty()) return;
    Node* first = other.root_.next_;
    Node* last = other.root_.prev_;
    first->prev_ = root_.prev_;
    root_.prev_->next_ = first;
    last->next_ = &root_;
    root_.prev_ = last;
    other.clear();
  }

 private:
  void clear() { root_.next_ = root_.prev_ = &root_; }
  void insert(T* object, Node* after) {
    Node* node = static_cast<Node*>(object);
    node->prev_ = after;
    node->next_ = after->next_;
    after->next_->prev_ = node;
    after->next_ = node;
  }

  Node root_;
};

}  // namespace tidegate
