"""A bi-level method whose logits are a controller's, from outside the package."""

from __future__ import annotations

import torch
from torch import nn

from snas_tune.search.methods.method import Method
from snas_tune.search.sampling import Draw
from snas_tune.space.choices import one_hot


class Reinforce(Method):
    parts = ("weights", "choices")

    def __init__(self, task, supernet):
        super().__init__(task, supernet)
        self.controller = nn.Linear(1, self.mask.numel(), bias=False)
        nn.init.zeros_(self.controller.weight)
        self.adam = torch.optim.Adam(self.controller.parameters(), lr=0.1)

    def option_logits(self):
        logits = self.controller(torch.ones(1)).view(self.mask.shape)
        return logits.double().masked_fill(~self.mask, -torch.inf)

    def draw(self, step, generator):
        probabilities = self.option_logits().detach().softmax(-1)
        picks = torch.multinomial(probabilities, 1, generator=generator).flatten().tolist()
        return Draw(one_hot(picks, self.task.space.choices), [[pick] for pick in picks])

    def step(self, batches, step):
        weights, choices = batches
        result = self.train_weights(weights, self.draw(step, self.task.generator("w", step)), step)
        draw = self.draw(step, self.task.generator("c", step))
        with torch.no_grad():
            predicted = self.predict(choices, draw)
        reward = (predicted.argmax(1) == choices.labels).double().mean() - 0.5
        picked = torch.tensor([row[0] for row in draw.active])
        chance = self.option_logits().log_softmax(-1).gather(1, picked.unsqueeze(1)).sum()
        self.adam.zero_grad()
        (-reward * chance).backward()
        self.adam.step()
        return result

    def choose(self, accuracy):
        draws = [self.draw(0, self.task.generator("choose", number)).active for number in range(3)]
        return max(([row[0] for row in draw] for draw in draws), key=accuracy)

    def state_dict(self):
        mine = {"controller": self.controller.state_dict(), "adam": self.adam.state_dict()}
        return {**super().state_dict(), **mine}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.controller.load_state_dict(state["controller"])
        self.adam.load_state_dict(state["adam"])
