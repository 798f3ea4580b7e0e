"""What requests and responses hold: OpenAI's fields, and a few of lushan's that are marked so.

A field that is not known is refused, and so is a value that would have no effect: nothing that a
client asks for is left out in silence.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MOST_STOPS, LONGEST_STOP = 16, 1000
MOST_INPUTS = 2048
Text = Annotated[str, StringConstraints(strict=True)]
Stop = Annotated[str, StringConstraints(strict=True, max_length=LONGEST_STOP)]
Number = Annotated[float, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Probability = Annotated[float, Field(gt=0, le=1, strict=True)]
Tokens = Annotated[int, Field(ge=1, strict=True)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1, strict=True)]
Model = Annotated[
    str | None, Field(description="A model of `/v1/models`; optional if only one is served.")
]


class Strict(BaseModel):
    """A request: a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class StreamOptions(Strict):
    """Of a streamed response."""

    include_usage: Flag = Field(False, description="Send a last chunk with token counts.")
    include_obfuscation: Literal[False] = False


class Writing(Strict):
    """How texts are written."""

    model: Model = None
    temperature: Number | None = Field(
        None, ge=0, le=100, description="0 is greedy decoding; 1 by default."
    )
    top_p: Probability | None = Field(None, description="1 by default.")
    n: Tokens | None = Field(None, description="Number of texts for each prompt; 1 by default.")
    seed: Seed | None = Field(
        None, description="Random seed of sampling; chosen at random if null."
    )
    stop: Stop | Annotated[list[Stop], Field(max_length=MOST_STOPS)] | None = None
    stream: Flag | None = None
    stream_options: StreamOptions | None = None
    top_k: int | None = Field(
        None,
        ge=0,
        strict=True,
        description="Extension: sample from this many top tokens; 0 for all.",
    )
    repetition_penalty: Number | None = Field(None, gt=0, le=100, description="Of lushan.")
    # Accepted where they say what holds anyway, as many clients send them.
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None
    logit_bias: Annotated[dict[str, Number], Field(max_length=0)] | None = None
    user: str | None = Field(None, description="Has no effect.")


class ImageUrl(Strict):
    """An image of a message."""

    url: Text = Field(description="A data URL in base64: `data:image/png;base64,…`.")
    detail: Literal["auto"] | None = None


class TextPart(Strict):
    """A text within a message."""

    type: Literal["text"]
    text: Text


class ImagePart(Strict):
    """An image within a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


class Message(Strict):
    """A message of a dialogue."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | list[TextPart | ImagePart]


class ChatRequest(Writing):
    """A request for the next message of a dialogue."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    logprobs: Flag | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20, strict=True)
    response_format: dict[Literal["type"], Literal["text"]] | None = None


class CompletionRequest(Writing):
    """A request for the continuation of texts."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=MOST_INPUTS)]
    max_tokens: Tokens | None = Field(None, description="16 by default.")
    logprobs: int | None = Field(None, ge=0, le=20, strict=True)
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None


class EmbeddingRequest(Strict):
    """A request for vectors of texts."""

    model: Model = None
    input: Text | Annotated[list[Text], Field(min_length=1, max_length=MOST_INPUTS)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Tokens | None = Field(
        None, description="Must be the dimension of the model, if given."
    )
    input_type: Literal["query", "passage"] = Field(
        "passage",
        description="Extension: the type of the texts; a model can have a prefix for each type.",
    )
    user: str | None = Field(None, description="Has no effect.")


class RerankRequest(Strict):
    """A request for the order of documents by a query."""

    model: Model = None
    query: Text
    documents: Annotated[list[Text], Field(min_length=1, max_length=MOST_INPUTS)]
    top_n: Tokens | None = Field(None, description="All if null.")
    return_documents: Flag = False


# Responses


class Error(BaseModel):
    """What is wrong with a request."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(BaseModel):
    """A request that was not answered."""

    error: Error


class Usage(BaseModel):
    """Tokens counted."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


Finish = Literal["stop", "length", "content_filter"]


class TopLogprob(BaseModel):
    """A token that might have stood in a place."""

    token: str
    logprob: float
    bytes: list[int] | None


class TokenLogprob(TopLogprob):
    """A token that was written."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    """Log probabilities of a message's tokens."""

    content: list[TokenLogprob]
    refusal: None = None


class Answer(BaseModel):
    """A message that was written."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    """One of the answers."""

    index: int
    message: Answer
    finish_reason: Finish
    logprobs: ChatLogprobs | None


class Written(BaseModel):
    """What all responses with texts hold."""

    id: str
    created: int
    model: str
    usage: Usage
    notes: list[str] = Field(default_factory=list, description="Extension: what was truncated.")


class ChatResponse(Written):
    """Answers."""

    object: Literal["chat.completion"] = "chat.completion"
    choices: list[ChatChoice]


class Assisted(BaseModel):
    """How an assistant has answered: of lushan."""

    action: Literal["answer", "template", "refuse", "pass"]
    source: list[str] = Field(description="The key of the entry, or the intent of the template.")
    entity: str | None = Field(description="The entity of the entry.")
    hand_over: bool = Field(description="Whether a person should take over.")


class AssistedResponse(ChatResponse):
    """Answer of an assistant; its tokens are not counted."""

    assist: Assisted


class CompletionLogprobs(BaseModel):
    """Log probabilities of a text's tokens, in parallel lists."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class CompletionChoice(BaseModel):
    """One of the texts."""

    index: int
    text: str
    finish_reason: Finish
    logprobs: CompletionLogprobs | None


class CompletionResponse(Written):
    """Continuations."""

    object: Literal["text_completion"] = "text_completion"
    choices: list[CompletionChoice]


class Embedding(BaseModel):
    """A vector of length 1."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str = Field(description="Numbers, or float32 in base64.")


class InputUsage(BaseModel):
    """Tokens counted."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingResponse(BaseModel):
    """Vectors."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: InputUsage
    notes: list[str]


class Document(BaseModel):
    """A text."""

    text: str


class Ranked(BaseModel):
    """A document and its score."""

    index: int
    relevance_score: float
    document: Document | None = None


class RerankResponse(BaseModel):
    """Documents, the best first."""

    id: str
    model: str
    results: list[Ranked]
    usage: InputUsage
    notes: list[str]


class Measured(BaseModel):
    """The main metric of a run, and its 95 % interval, each as it is shown."""

    name: str
    text: str
    value: float | None
    interval: str | None


class About(BaseModel):
    """What is known of a run."""

    endpoints: list[str]
    task: str | None
    run_id: str | None
    metric: Measured | None
    data: str | None
    inputs: dict[str, Any] = Field(description="For `/predict`: JSON schema of each field.")
    displays: dict[str, str] = Field(description="For `/predict`: how entries are displayed.")
    sees_images: bool
    assists: bool = Field(description="Whether it answers from sources, without sampling.")
    most_tokens: int | None
    notes: list[str]


class ModelCard(BaseModel):
    """A run that is served."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["lushan"] = "lushan"
    lushan: About


class ModelList(BaseModel):
    """The runs that are served."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class State(BaseModel):
    """Whether the server answers."""

    status: Literal["ok", "ready", "draining"]
