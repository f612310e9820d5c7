"""An application for `uvicorn tests.fakes.site:create --factory`: the dashboard on a scripted brain."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from app.web.app import install, serving
from tests.fakes.brain import ScriptedBrain
from tests.support import make_settings, running_house
from tests.web import web_parts


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    settings = make_settings(Path(os.environ["SITE_FOLDER"]))
    async with running_house(settings, ScriptedBrain()) as house, serving(app, web_parts(house)):
        yield
    sys.stderr.write("lifespan is over\n")


def create() -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    install(app)
    return app
