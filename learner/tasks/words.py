"""Words of several tokens that may follow a prompt, each scored by all of its tokens, as a tree of their beginnings.

log p(word | prompt) = Σ_t log p(token_t | prompt, token_1 … token_{t−1}): words that begin alike share the positions of
their common beginning, so that 77 words take fewer than 77 times the work of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Words:
    """C words; their proper beginnings are N nodes below the prompt, and each step from one to the next token an edge.

    Place 0 is the prompt's last token, place n + 1 node n; parents come before their children.
    """

    tokens: torch.Tensor
    """int64 [N], the last token of each beginning"""
    parents: torch.Tensor
    """int64 [N], the place before each"""
    edge_places: torch.Tensor
    """int64 [M], where a token is predicted"""
    edge_tokens: torch.Tensor
    """int64 [M], which"""
    paths: torch.Tensor
    """int64 [C, D], the edges of each word; M where it is shorter than D tokens"""

    @classmethod
    def of(cls, words: Sequence[Sequence[int]]) -> "Words":
        """The tree of these words (each one or more tokens, none the beginning of another)."""
        places: dict[tuple[int, ...], int] = {(): 0}
        edges: dict[tuple[int, int], int] = {}
        tokens: list[int] = []
        parents: list[int] = []
        paths = []
        for word in words:
            path = []
            for step, token in enumerate(word):
                before = places[tuple(word[:step])]
                path.append(edges.setdefault((before, token), len(edges)))
                beginning = tuple(word[: step + 1])
                if step + 1 < len(word) and beginning not in places:
                    places[beginning] = len(places)
                    tokens.append(token)
                    parents.append(before)
            paths.append(path)
        longest = max(map(len, paths))
        filled = [path + [len(edges)] * (longest - len(path)) for path in paths]
        edge_places, edge_tokens = zip(*edges, strict=True)
        return cls(
            *(torch.tensor(part, dtype=torch.int64) for part in (tokens, parents, edge_places, edge_tokens, filled))
        )

    @property
    def num_nodes(self) -> int:
        """N"""
        return len(self.tokens)

    @property
    def depth(self) -> int:
        """Tokens that follow a prompt in the longest word before its last one."""
        return self.paths.shape[1] - 1

    def to(self, device: torch.device) -> "Words":
        """The same on another device."""
        parts = (self.tokens, self.parents, self.edge_places, self.edge_tokens, self.paths)
        return Words(*(part.to(device) for part in parts))

    def above(self) -> torch.Tensor:
        """bool [N, N]: True where the second node is the first one, or a beginning of it."""
        sees = torch.eye(self.num_nodes, dtype=torch.bool)
        for node, parent in enumerate(self.parents.tolist()):
            if parent:
                sees[node] |= sees[parent - 1]
        return sees

    def lines(self) -> list[list[int]]:
        """Nodes from the prompt down to each node that has no node below: every node is in one or more of them."""
        parents: list[int] = self.parents.tolist()
        inner = set(parents)
        found = []
        for node in range(self.num_nodes):
            if node + 1 not in inner:
                line = [node]
                while parents[line[0]]:
                    line.insert(0, parents[line[0]] - 1)
                found.append(line)
        return found

    def scores(self, edge_scores: torch.Tensor) -> torch.Tensor:
        """[B, C] of what edges [B, M] have, summed along each word in order of its tokens."""
        padded = torch.nn.functional.pad(edge_scores, (0, 1))
        total = padded[:, self.paths[:, 0]]
        for step in range(1, self.paths.shape[1]):
            total = total + padded[:, self.paths[:, step]]
        return total
