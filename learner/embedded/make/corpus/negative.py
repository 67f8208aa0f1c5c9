"""Words of complaint, written by hand for this project; an entry of several words is joined by underscores."""

from .inflection import words

ADJECTIVES = words("""
bad awful horrible dreadful atrocious abysmal appalling horrendous lousy poor weak lame dull boring tedious
tiresome tiring monotonous dreary drab bland flat stale tired lifeless limp listless lethargic sluggish slow
plodding ponderous leaden turgid stodgy stilted stiff wooden awkward clumsy clunky inept incompetent
amateurish sloppy careless lazy slapdash shoddy cheap tacky tawdry cheesy corny hokey sappy syrupy maudlin
mawkish saccharine schmaltzy sentimental manipulative contrived forced artificial phony fake false insincere
hollow empty shallow superficial thin flimsy insubstantial trivial trite banal cliched hackneyed formulaic
predictable derivative unoriginal generic recycled rehashed unimaginative uninspired uninspiring uninvolving
unengaging uninteresting unremarkable unmemorable forgettable disposable mediocre middling pedestrian
routine ordinary humdrum lackluster perfunctory undercooked underdeveloped underwritten overwritten
overwrought overblown overlong overstuffed overcooked overdone bloated excessive indulgent pretentious
pompous preachy smug arrogant condescending patronizing obnoxious annoying irritating grating aggravating
infuriating maddening frustrating exasperating exhausting numbing stupefying soporific stupid dumb idiotic
moronic imbecilic brainless mindless witless clueless senseless pointless aimless meandering rambling
unfocused scattered scattershot muddled confused confusing incoherent incomprehensible murky messy chaotic
disjointed choppy uneven inconsistent erratic haphazard convoluted nonsensical ridiculous ludicrous
preposterous absurd silly laughable unfunny humorless joyless charmless soulless heartless bloodless
toothless spineless gutless graceless tasteless crass crude vulgar gross offensive insulting repugnant
repulsive revolting disgusting vile nasty ugly unpleasant unlikable unappealing unattractive distasteful
sleazy trashy lurid exploitative gratuitous cynical cruel misogynistic sexist racist sour bitter grim
depressing dismal gloomy glum dour miserable painful excruciating agonizing torturous interminable endless
unbearable intolerable insufferable unwatchable disappointing underwhelming unsatisfying unsatisfactory
unsuccessful failed misguided misbegotten misconceived unnecessary needless useless worthless meaningless
inane insipid vapid vacuous asinine puerile juvenile infantile childish sophomoric immature unconvincing
implausible improbable unrealistic inauthentic dishonest inaccurate flawed faulty defective broken dated
outdated musty creaky rusty shopworn threadbare worn repetitive repetitious redundant static inert stagnant
dead cold chilly sterile clinical detached distant remote colorless faceless nondescript shrill noisy loud
bombastic frantic manic hyperactive garish gaudy grotesque cartoonish dopey daft misjudged miscast
mishandled wasted squandered inferior worst worse dumbest dullest lamest weakest laziest duller dumber
slower weaker unfortunate sorry pathetic pitiful woeful lamentable deplorable disgraceful shameful shameless
embarrassing cringeworthy execrable wretched rotten crappy hopeless hapless harebrained dim dimwitted oafish
boorish sullen morose mopey whiny melodramatic histrionic stagy talky verbose wordy obvious blatant unsubtle
simplistic reductive didactic moralistic sanctimonious strident icky sickening nauseating unsavory seedy
grimy dingy ghastly hideous blurry jerky rushed hurried abrupt anticlimactic unexciting unmoving unscary
heavy_handed ham_fisted half_hearted half_baked so_so by_the_numbers run_of_the_mill paint_by_numbers
cookie_cutter one_dimensional paper_thin self_indulgent self_important self_conscious mean_spirited
ill_conceived ill_advised off_putting far_fetched mind_numbing tone_deaf warmed_over third_rate second_rate
one_note one_joke poorly_written badly_acted poorly_made too_long overrated overhyped uncomfortable
unreliable unusable overpriced fragile bulky bad_tempered inedible greasy soggy glitchy laggy buggy
unhelpful cumbersome impractical undistinguished unambitious unadventurous unexceptional unenjoyable
unrewarding unmotivated unpolished uneventful ineffective ineffectual inadequate insignificant
inconsequential irrelevant impersonal incompetently_made impenetrable implausibly_plotted pallid pale anemic
tepid lukewarm mushy soppy gooey sugary sugar_coated cloying treacly gimmicky calculated mechanical robotic
plastic synthetic schlocky schematic stereotypical lowbrow low_rent brain_dead dead_end money_grubbing
wearisome wearying oppressive suffocating claustrophobic sordid squalid depraved perverse sadistic
ill_fitting lurching laborious labored strained heavy lumbering clangorous incessant nagging jarring
unsettled undisciplined sprawling slackly_paced slack saggy padded pasted_together patched_together jumbled
garbled indecipherable baffling bewildering dispiriting disheartening dispirited disastrous catastrophic
unforgivable inexcusable regrettable unpersuasive uncinematic underdone undramatic unimpressive unwelcome
unworthy unentertaining unpleasantly_loud obtuse opaque abstruse obscure arcane cryptic tangled mangled
botched bungled fumbled spotty patchy ragged tattered frayed scruffy skimpy meager measly scant sparse
barren vacant arid desolate drippy draggy droning drowsy snoozy glacial gloppy cutesy twee smarmy slimy oily
unctuous hypocritical self_righteous self_serving self_congratulatory self_satisfied self_absorbed
narcissistic vain conceited snobbish snooty stuffy stifling stultifying deadening dulling enervating
draining taxing burdensome overloaded overburdened overcrowded overplotted overproduced overbearing
overambitious overreaching oversimplified overused overheated overacted over_the_top overly_familiar
overly_sentimental undernourished unfinished unfulfilling uninformative unintelligible unintentionally_funny
unlikely unlucky unneeded unpalatable unrelenting unsalvageable unsympathetic unspeakable unsteady
unstructured untalented untidy untrue unwieldy unwise unfair unkind unlovable unmitigated unnatural amoral
immoral indecent obscene pornographic prurient lewd leering smutty scummy smelly stinky stinking putrid
rancid fetid foul filthy dirty muddy soupy stagey starchy stony staid stock rote boilerplate
straight_to_cable made_for_tv amateur novice ungainly gawky lopsided unbalanced deranged demented insane
crazy nutty loony comatose moribund defunct doomed ill_fated ill_timed ill_considered poorly_acted
poorly_directed poorly_paced badly_written badly_made badly_edited badly_directed crummy cruddy
cringe_inducing sleep_inducing head_scratching butt_numbing boneheaded dense gullible naive nihilistic
pessimistic downbeat frigid icy frosty bleak barbaric brutal brutish bullying abusive hateful hostile rude
surly snarky snide sneering spiteful malicious poisonous toxic noxious insidious deceitful deceptive
misleading bogus pseudo wannabe imitative secondhand reheated packaged prefabricated manufactured rigid
mechanistic lead_footed flat_footed slow_moving slow_paced stuttering sputtering stumbling shaky shapeless
sketchy skin_deep slim soul_killing spiritless stolid superfluous tortured tormented transparent troubling
wan washed_out watered_down weepy weightless wimpy wishy_washy wrongheaded zero unspectacular undeserving
uncreative unclear uncaring foolish fatuous flabby flaccid flavorless flippant floppy forgotten formless
frail frazzled frustrated fussy ghoulish glib goofy grisly gruesome halting harsh idle ignorant illogical
inarticulate inappropriate incongruous indifferent indigestible inexplicable inhuman insensitive intrusive
jaded jumpy lackadaisical lagging loathsome maladroit masochistic meretricious misanthropic misshapen
mistaken moldy monstrous nebulous negligible neurotic objectionable odious ostentatious outmoded paltry
passionless pat perplexing petty pitiless plotless pokey problematic puzzling reckless remorseless
reprehensible rudderless ruined ruinous schizophrenic senile showy sickly slight spoiled subpar substandard
tame thoughtless thankless tin_eared tortuous uncouth deadly_dull painfully_slow hopelessly_dated
utterly_predictable barely_watchable strangely_flat terminally_dull numbingly_slow all_too_predictable
""")

VERDICTS = words("""
mess disaster failure bore waste flop dud turkey stinker clunker disappointment letdown misfire mistake
catastrophe fiasco debacle embarrassment travesty train_wreck chore ordeal slog snooze yawn drag mishmash
muddle jumble hodgepodge cliche rehash retread ripoff insult abomination nightmare joke headache misstep
blunder wreck throwaway waste_of_time waste_of_money waste_of_talent missed_opportunity bad_joke bad_idea
bad_dream cash_grab vanity_project lost_cause pale_imitation cheap_imitation cheap_knockoff snoozefest sham
fraud scam rip_off lemon regret punishment torture_test endurance_test dead_end monstrosity atrocity trifle
hackfest botch eyesore junk_pile trash_heap piece_of_junk piece_of_trash shambles washout shell disgrace
downer killjoy buzzkill tragedy_of_errors wasted_chance nonevent nonstarter dullard clunky_mess hot_mess
jumbled_mess total_loss write_off failed_experiment noble_failure near_miss belly_flop pratfall sermon
lecture screed rant diatribe infomercial copy clone knockoff imitation forgery impostor also_ran has_been
footnote blip afterthought death_march root_canal migraine hangover sedative sleeping_pill snorefest swamp
quagmire bog morass black_hole dead_zone wasteland cesspool sewer dump dumpster_fire landfill cheapie
quickie hatchet_job hack_job patchwork hash pastiche potboiler weepie sitcom_episode tv_pilot
crime_against_cinema blemish blot stinkbomb stench ruin shame pity sad_excuse poor_excuse lame_excuse excuse
grab_bag one_trick_pony con swindle soap_opera exercise_in_futility bad_movie bad_film vanity_piece
""")

QUALITIES = words("""
boredom tedium stupidity nonsense drivel garbage trash junk rubbish crap cliche banality mediocrity
pretension sentimentality melodrama confusion incoherence incompetence laziness sloppiness dullness
emptiness blandness ugliness cruelty nastiness cynicism contempt vulgarity crudeness silliness absurdity
idiocy inanity vapidity shallowness monotony repetition predictability bombast excess bloat self_indulgence
self_importance smugness arrogance condescension manipulation hokum schmaltz treacle schlock sleaze misery
pain agony frustration irritation annoyance disappointment misogyny pomposity padding filler baloney
gibberish hypocrisy artifice lethargy inertia ineptitude awkwardness clumsiness disgust despair gloom
whining tripe bunk claptrap dreck malarkey dead_air dead_weight bad_taste bad_acting bad_dialogue
bad_writing hot_air fluff froth gimmickry trickery fakery phoniness dishonesty deceit insincerity
indifference apathy listlessness sluggishness slowness stiffness rigidity flatness triviality superficiality
vacuity nothingness aimlessness pointlessness hopelessness depression self_pity bathos mush goo sap corn
cheese schtick shtick sewage sludge slime filth muck chaos disarray disorder clutter unevenness
inconsistency implausibility foolishness ignorance carelessness tastelessness offensiveness bigotry racism
sexism homophobia hostility hatred malice meanness bitterness resentment bile posturing preening
grandstanding preachiness moralizing sermonizing lecturing overkill overacting mugging scenery_chewing
egotism vanity narcissism hype product_placement pandering exploitation titillation smut discomfort
tiredness fatigue weariness exhaustion ennui
""")

THINGS = words("""
cliches plot_holes stereotypes flaws problems mistakes blunders groans yawns contrivances platitudes
coincidences dead_spots dull_stretches stale_jokes bad_jokes lame_jokes fart_jokes cheap_shots cheap_tricks
cheap_thrills missteps loose_ends false_notes errors defects bugs glitches faults weaknesses shortcomings
failures stock_characters cardboard_characters caricatures gimmicks inconsistencies bad_lines empty_gestures
headaches regrets excesses irritations annoyances disappointments banalities absurdities implausibilities
snores
""")

FILM_VERBS_TRANSITIVE = words("""
bore annoy irritate disappoint frustrate exhaust confuse depress insult offend disgust infuriate exasperate
alienate repel appall bewilder baffle tire numb aggravate anger underwhelm embarrass dishearten nauseate
sicken deaden patronize bludgeon torture punish cheat shortchange deceive mislead dismay enrage vex stupefy
pummel bother pester puzzle perplex confound befuddle drain weary stifle suffocate smother crush batter
assault browbeat hector scold con swindle distress upset sadden
""")

FILM_VERBS_INTRANSITIVE = words("""
fail drag stumble falter flounder sag sputter fizzle flop collapse crumble wither bore meander ramble plod
wallow stagnate disappoint sink implode stall derail unravel limp drone flail backfire misfire malfunction
languish suck stink crash lag disintegrate fester overreach trudge lumber bog_down fade droop slump slouch
creak stutter plummet plunge topple slip blunder fumble grate pall rot decay degenerate deteriorate weaken
""")

OPINION_VERBS = words("""
hate loathe despise detest regret dislike resent endure suffer mock ridicule bemoan lament deplore abhor
condemn scorn dread abandon deride disdain disparage dismiss skip curse boo fault criticize
""")

FEELINGS = words("""
bored annoyed irritated disappointed frustrated exhausted confused depressed insulted offended disgusted
infuriated exasperated alienated repelled appalled bewildered baffled tired numb unmoved uninterested
indifferent restless sleepy cold angry embarrassed underwhelmed unsatisfied unimpressed unconvinced
miserable cheated let_down sorry sad empty fidgeting yawning cringing groaning snoring squirming asleep
weary drained dissatisfied disengaged dismayed ripped_off checking_my_watch looking_for_the_exit
wanting_my_money_back bitter disheartened upset regretful skeptical
""")

ADVERBS_FROM = words("""
bad awful horrible dreadful atrocious abysmal appalling poor weak lame dull tedious dreary bland flat
lifeless limp sluggish slow ponderous stiff wooden awkward clumsy inept incompetent amateurish sloppy
careless lazy shoddy cheap mawkish artificial false hollow shallow superficial thin predictable generic
unimaginative perfunctory excessive pretentious pompous smug arrogant obnoxious annoying irritating
maddening frustrating exhausting stupid idiotic mindless senseless pointless aimless confusing incoherent
messy chaotic uneven inconsistent erratic haphazard ridiculous ludicrous preposterous absurd laughable crass
crude vulgar gross offensive unpleasant cynical cruel grim depressing dismal miserable painful excruciating
interminable endless unbearable insufferable disappointing unsuccessful needless useless meaningless
childish unconvincing implausible dishonest repetitive cold unfortunate pathetic pitiful woeful shameless
embarrassing wretched hopeless melodramatic obvious blatant shrill strident abrupt hurried mechanical drab
tasteless disastrous inexcusable laborious oppressive tiresome irredeemable
""")

PREDICATES = words("""
a_waste_of_time a_waste_of_money a_waste_of_talent a_complete_mess a_total_waste a_chore_to_sit_through
not_worth_seeing not_worth_the_time not_worth_your_time not_worth_the_price_of_admission not_worth_the_money
not_worth_the_ticket hard_to_watch hard_to_sit_through hard_to_care_about difficult_to_watch
painful_to_watch impossible_to_like impossible_to_sit_through better_left_on_the_shelf best_forgotten
best_avoided one_of_the_worst_films_of_the_year one_of_the_year_'s_worst among_the_worst below_average
less_than_the_sum_of_its_parts dead_on_arrival dead_in_the_water doa a_bit_of_a_mess a_little_too_long
much_too_long way_too_long far_too_long too_little_too_late all_style_and_no_substance
all_flash_and_no_substance all_over_the_place all_too_familiar nothing_new nothing_special nothing_but_noise
nothing_to_write_home_about little_more_than_a_commercial no_fun no_fun_at_all no_good
at_all_costs_to_be_avoided short_on_ideas short_on_laughs low_on_ideas out_of_touch out_of_ideas
lost_in_translation going_nowhere on_autopilot in_bad_taste beyond_repair beyond_bad straight_to_video
a_step_down a_step_backward a_pale_shadow_of_the_original for_fans_only worse_than_expected
worse_than_the_original as_bad_as_it_gets as_dull_as_it_sounds the_opposite_of_fun a_sad_affair
""")

VERB_PHRASES = words("""
falls_flat falls_apart falls_short falls_short_of_its_promise wears_thin wears_out_its_welcome
runs_out_of_steam runs_out_of_ideas runs_too_long goes_nowhere goes_on_forever goes_on_too_long
goes_off_the_rails goes_through_the_motions misses_the_mark misses_the_point loses_its_way loses_steam
loses_its_nerve leaves_you_cold leaves_much_to_be_desired leaves_a_bad_taste collapses_under_its_own_weight
drags_on never_gets_going never_comes_together never_comes_alive never_takes_off never_gets_off_the_ground
never_adds_up does_not_add_up does_not_work does_not_hold_up makes_no_sense makes_little_sense
makes_you_wish_you_had_stayed_home makes_you_cringe makes_you_want_to_leave tries_too_hard plays_it_safe
puts_you_to_sleep tests_your_patience wastes_a_good_cast wastes_its_talent wastes_your_time
squanders_its_premise overstays_its_welcome hits_rock_bottom hits_a_wall rings_false rings_hollow
feels_like_work feels_like_homework feels_forced feels_longer_than_it_is feels_like_an_eternity
sinks_like_a_stone limps_along stumbles_badly has_nothing_to_say has_no_point has_no_pulse
offers_nothing_new brings_nothing_new talks_down_to_its_audience insults_your_intelligence
deserves_to_be_forgotten deserves_to_flop could_have_been_better should_have_been_better needs_a_rewrite
needs_more_work needs_an_editor breaks_after_a_week stopped_working_after_a_day comes_apart comes_up_short
comes_up_empty adds_up_to_nothing amounts_to_nothing fails_to_entertain fails_to_engage fails_to_convince
fails_to_deliver fails_to_satisfy fails_on_every_level fails_miserably fails_as_a_comedy manages_to_bore
never_engages never_catches_fire never_rings_true never_finds_its_footing never_quite_works never_pays_off
never_lives_up_to_its_premise lacks_a_point lacks_focus lacks_depth lacks_heart lacks_energy lacks_punch
lacks_spark lacks_wit lacks_any_real_feeling leaves_you_wondering_why_it_was_made leaves_no_impression
leaves_a_sour_taste drowns_in_its_own_excess chokes_on_its_own_cleverness substitutes_noise_for_ideas
mistakes_noise_for_drama recycles_old_jokes repeats_itself rehashes_old_ideas relies_on_cliches
resorts_to_cheap_tricks settles_for_easy_jokes panders_to_its_audience preaches_to_the_choir
beats_you_over_the_head hits_you_over_the_head hammers_its_point_home bites_off_more_than_it_can_chew
could_use_an_editor could_have_used_some_humor would_have_been_better_as_a_short ought_to_be_avoided
should_have_gone_straight_to_video should_have_stayed_on_the_shelf should_never_have_been_made
does_not_deserve_your_time does_not_deliver does_not_know_what_it_wants_to_be does_not_live_up_to_its_title
is_not_funny_at_all has_no_idea_what_it_is has_no_soul has_seen_better_days takes_forever_to_get_going
takes_itself_too_seriously thinks_it_is_smarter_than_it_is tells_us_nothing_new says_nothing
shows_no_imagination shoots_itself_in_the_foot smells_of_desperation reeks_of_desperation quickly_wears_thin
quickly_grows_tiresome grows_tedious gets_old_fast gets_tiresome gets_bogged_down turns_sour
just_is_not_there
""")

COMMENTS = words("""
skip_it avoid_it avoid_at_all_costs stay_away stay_home do_not_bother do_not_waste_your_time save_your_money
what_a_mess what_a_waste what_a_bore what_a_letdown what_a_shame i_want_my_money_back i_walked_out
i_fell_asleep i_almost_walked_out i_could_not_wait_for_it_to_end i_kept_checking_my_watch zero_stars
one_star thumbs_down two_thumbs_down no_thanks never_again count_me_out ugh yuck such_a_shame
better_luck_next_time wait_for_the_video rent_something_else send_it_back i_returned_it
i_would_not_buy_it_again please_make_it_stop run_away i_want_those_hours_back who_cares why_bother
do_not_see_it pass_on_this_one you_have_been_warned buyer_beware give_me_a_break spare_me spare_yourself
enough_already is_that_all_there_is so_what you_can_do_better i_felt_cheated i_could_not_finish_it i_gave_up
i_regret_it what_were_they_thinking
""")
